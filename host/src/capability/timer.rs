//! `timer`: operations of the plugin's own at a later time. Not offered by this version: a guest is told so.

use super::Guest;
use super::failure;
use crate::plugin::contract::pixelboy::plugin::timer::Host;
use crate::plugin::contract::pixelboy::plugin::types::Failure;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

const NOT_YET: &str = "this host has no timers yet";

impl Host for Guest {
    fn set(&mut self, _: String, _: u64, _: Vec<u8>, _: bool) -> Answer<()> {
        Ok(Err(failure::unsupported(NOT_YET)))
    }

    fn cancel(&mut self, _: String) -> Answer<()> {
        Ok(Err(failure::unsupported(NOT_YET)))
    }
}
