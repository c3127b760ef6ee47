//! What this plugin does, in a sentence.

use pixelboy_plugin::kv;
use pixelboy_plugin::prelude::*;

/// Greets people, and remembers how often.
#[plugin]
impl Type {
    /// Says hello.
    ///
    /// Returns: the greeting.
    #[op("NAME")]
    fn greet(
        /// Whom to greet.
        #[default("world")]
        name: String,
    ) -> Result<String> {
        let times = kv::get_int(&name)?.unwrap_or(0) + 1;
        kv::set_int(&name, times)?;
        Ok(format!("hello, {name}, for the {times}. time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pixelboy_plugin::test::Device;

    #[test]
    fn it_remembers_whom_it_greeted() {
        let mut device = Device::of::<Type>();
        device.call("NAME", values!["ada"]).unwrap();
        let again = device.call("NAME", values!["ada"]);
        assert_eq!(again, Ok("hello, ada, for the 2. time".into()));
    }
}
