//! What calls set for the session, to be set again when the device has begun a new one.
//! Invariant: a setting is told again as it was last done, never over a call that changes it and is on its way.
//! Not here: bound opcodes (`driver` offers them again), and music, which ends with its session on purpose.
//! A setting that the device refuses when it is told again is left as the device has it.

use std::collections::BTreeMap;

/// Opcodes that are of the session: of no use to a later one, nor to the next run of the program.
pub(crate) fn is_of_session(op: &str) -> bool {
    op == "cc" || slot(op).is_some()
}

/// Which setting an opcode changes.
fn slot(op: &str) -> Option<Slot> {
    match op {
        "srto" => Some(Slot::ReceiveTimeOut),
        "sptt" | "sptf" => Some(Slot::PassTimeOut),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    ReceiveTimeOut,
    PassTimeOut,
}

/// What was set.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    set: BTreeMap<Slot, Setting>,
}

#[derive(Debug)]
struct Setting {
    op: String,
    /// The encoded op, args and kwargs that set it.
    call: Vec<u8>,
    /// Of the request that set it, under the present client id.
    number: u64,
    /// The present session may not have it.
    is_missing: bool,
}

impl Settings {
    /// The device began a new session.
    pub(crate) fn began_anew(&mut self) {
        for setting in self.set.values_mut() {
            setting.is_missing = true;
        }
    }

    /// Numbers begin anew.
    pub(crate) fn renumbered(&mut self) {
        for setting in self.set.values_mut() {
            setting.number = 0;
        }
    }

    /// A call was done. One that was answered from the record was done for a session that may be over.
    pub(crate) fn done(&mut self, number: u64, op: &str, call: &[u8], recorded: bool) {
        let Some(slot) = slot(op) else { return };
        if self.set.get(&slot).is_some_and(|set| set.number > number) {
            return;
        }
        let setting = Setting {
            op: op.to_owned(),
            call: call.to_vec(),
            number,
            is_missing: recorded,
        };
        self.set.insert(slot, setting);
    }

    /// An opcode and its encoded call that is to be told again now; each is given once.
    pub(crate) fn due<'a>(
        &mut self,
        under_way: impl Fn() -> Box<dyn Iterator<Item = &'a str> + 'a>,
    ) -> Option<(String, Vec<u8>)> {
        let (_, setting) = self.set.iter_mut().find(|(which, setting)| {
            setting.is_missing && !under_way().any(|op| slot(op) == Some(**which))
        })?;
        setting.is_missing = false;
        Some((setting.op.clone(), setting.call.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    fn due(settings: &mut Settings, under_way: &[&'static str]) -> Option<String> {
        let under_way = under_way.to_vec();
        settings
            .due(|| Box::new(under_way.clone().into_iter()))
            .map(|(op, _)| op)
    }

    #[test]
    fn what_was_last_set_is_told_again_once_for_each_new_session() {
        let mut settings = Settings::default();
        settings.done(1, "sptt", b"on", false);
        settings.done(2, "sptf", b"off", false);
        settings.done(3, "ls", b"", false);
        assert_eq!(due(&mut settings, &[]), None);
        settings.began_anew();
        assert_eq!(due(&mut settings, &[]).as_deref(), Some("sptf"));
        assert_eq!(due(&mut settings, &[]), None);
    }

    #[test]
    fn a_call_on_its_way_goes_first_and_one_from_the_record_is_told_again() {
        let mut settings = Settings::default();
        settings.done(1, "srto", b"1", false);
        settings.began_anew();
        assert_eq!(due(&mut settings, &["ls", "srto"]), None);
        settings.done(2, "srto", b"2", true);
        assert_eq!(due(&mut settings, &[]).as_deref(), Some("srto"));
        settings.done(3, "srto", b"3", false);
        settings.done(2, "srto", b"2", true);
        assert_eq!(due(&mut settings, &[]), None, "an older one came late");
    }
}
