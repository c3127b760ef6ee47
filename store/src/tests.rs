pub(crate) mod faults;
