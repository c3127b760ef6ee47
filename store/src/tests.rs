//! The store from outside, on a real disk; and with the world stopped at every step.

mod admission;
mod crash;
mod damage;
pub(crate) mod faults;
mod full;
mod group;
mod media;
mod model;
mod opening;
mod space;
mod support;
mod tending;
mod uploads;
