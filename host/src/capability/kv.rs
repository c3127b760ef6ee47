//! `kv`: a plugin's small durable data. The namespace is the plugin's name; no other plugin sees it.

use pixelboy_store::KvNamespace;

use super::Guest;
use super::failure;
use super::work::CHANGE_BYTES;
use crate::plugin::contract::pixelboy::plugin::kv::Host;
use crate::plugin::contract::pixelboy::plugin::types::Failure;

type Answer<T> = wasmtime::Result<Result<T, Failure>>;

/// The most keys of one `keys`.
const MAX_KEYS: u32 = 1000;

impl Guest {
    fn namespace(&self) -> KvNamespace {
        KvNamespace(self.identity.name.clone())
    }
}

impl Host for Guest {
    fn get(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        let namespace = self.namespace();
        Ok(self
            .work
            .transaction()?
            .kv_get(&namespace, &key)
            .map_err(failure::of_store))
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Answer<()> {
        let namespace = self.namespace();
        if let Err(failure) = self.work.hold(CHANGE_BYTES + key.len() + value.len()) {
            return Ok(Err(failure));
        }
        Ok(self
            .work
            .transaction()?
            .kv_set(&namespace, &key, value)
            .map_err(failure::of_store))
    }

    fn delete(&mut self, key: String) -> Answer<()> {
        let namespace = self.namespace();
        if let Err(failure) = self.work.hold(CHANGE_BYTES + key.len()) {
            return Ok(Err(failure));
        }
        Ok(self
            .work
            .transaction()?
            .kv_delete(&namespace, &key)
            .map_err(failure::of_store))
    }

    fn keys(&mut self, prefix: String, after: Option<String>, limit: u32) -> Answer<Vec<String>> {
        let namespace = self.namespace();
        let limit = limit.min(MAX_KEYS) as usize;
        Ok(self
            .work
            .transaction()?
            .kv_keys(&namespace, &prefix, after.as_deref(), limit)
            .map_err(failure::of_store))
    }
}
