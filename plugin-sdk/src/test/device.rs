//! The device as a test sees it.
//! Invariant: an operation that fails leaves nothing but its lines in the log.

use std::collections::BTreeMap;
use std::time::Duration;

use super::world::{self, World};
use super::{Asked, Level, Probed, Pushed, Screen, Sound, Stored, Timer, matching};
use crate::canvas::Canvas;
use crate::client::Answer;
use crate::guest::{Arguments, Plugin};
use crate::table::Table;
use crate::{Call, Failure, Map, Reply, Result, Value};

type Dispatch = fn(&Call, &str, &mut Arguments) -> Result<Reply>;

/// A device in memory, with one plugin. See the [module](super).
#[derive(Debug)]
pub struct Device {
    table: Table,
    dispatch: Dispatch,
    world: World,
    operations: u64,
}

impl Device {
    /// A device with this plugin: a panel of 64 x 32 pixels, nothing stored, the 1st of January 2030.
    pub fn of<P: Plugin>() -> Self {
        let world = World {
            panel: (64, 32),
            volume: 1.0,
            now_ms: 1_893_456_000_000,
            ..World::default()
        };
        Self {
            table: P::TABLE,
            dispatch: P::dispatch,
            world,
            operations: 0,
        }
    }

    /// With a panel of another size in pixels; (0, 0): none.
    #[must_use]
    pub fn panel(mut self, width: u32, height: u32) -> Self {
        self.world.panel = (width, height);
        self
    }

    /// With a value in the plugin's table in config.toml.
    #[must_use]
    pub fn setting(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.world.settings.insert(key.to_owned(), value.into());
        self
    }

    /// Tells the probe what these bytes are; it refuses all others.
    #[must_use]
    pub fn knows(mut self, bytes: &[u8], media: Probed) -> Self {
        self.world.media.push((bytes.to_vec(), media));
        self
    }

    /// Calls an opcode for nobody in particular, with arguments by position: [`values!`](crate::values).
    ///
    /// The reply's value: null for none, a list for several.
    pub fn call(&mut self, op: &str, args: Vec<Value>) -> Result<Value> {
        self.call_as(0, op, args)
    }

    /// The same for a client that [joined](Self::join).
    pub fn call_as(&mut self, session: u64, op: &str, args: Vec<Value>) -> Result<Value> {
        match self.request(session, op, args)? {
            Reply::Done(values) => Ok(single(values)),
            Reply::Later(_) => panic!("{op} answers later: call it with Device::begin"),
        }
    }

    /// Calls an opcode that answers later: the token for [`answer`](Self::answer).
    pub fn begin(&mut self, session: u64, op: &str, args: Vec<Value>) -> Result<u64> {
        match self.request(session, op, args)? {
            Reply::Later(token) => Ok(token),
            Reply::Done(values) => panic!("{op} has answered at once: {values:?}"),
        }
    }

    /// What an operation that answers later was answered; none as long as it was not.
    pub fn answer(&self, token: u64) -> Option<Result<Value>> {
        let answer = self.world.put_off.get(&token)?.clone();
        answer.map(|answer| answer.map(single))
    }

    /// A client comes: its session.
    pub fn join(&mut self, name: &str) -> u64 {
        let session = self.operations + 1;
        self.operations = session;
        self.world.sessions.insert(session, name.to_owned());
        self.tell_of("client-joined", session, name);
        session
    }

    /// A client goes.
    pub fn leave(&mut self, session: u64) {
        if let Some(name) = self.world.sessions.remove(&session) {
            self.tell_of("client-left", session, &name);
        }
    }

    fn tell_of(&mut self, kind: &str, session: u64, name: &str) {
        let mut details = Map::new();
        details.insert("session", session);
        details.insert("name", name);
        self.event_or_panic(kind, details);
    }

    fn event_or_panic(&mut self, kind: &str, details: Map) {
        if let Err(failure) = self.event(kind, details) {
            panic!("{kind} failed: {}", failure.message());
        }
    }

    /// Something happens that the plugin may be told of, such as `screen-lost`; nothing where it did not ask for that.
    pub fn event(&mut self, kind: &str, details: Map) -> Result<()> {
        if !self.table.events.contains(&kind) {
            return Ok(());
        }
        self.handle(0, "@event", vec![kind.into(), details.into()])
            .map(drop)
    }

    /// A client answers what it was [asked](Self::asked) to do.
    pub fn answered(&mut self, tag: &str, answer: Answer) -> Result<()> {
        let mut args = vec![tag.into(), answer.is_ok().into()];
        match answer {
            Ok(values) => args.extend(values),
            Err(failure) => args.extend([failure.code().into(), failure.message().into()]),
        }
        self.handle(0, "@answer", args).map(drop)
    }

    /// Lets time pass: timers fire in their order, at their time. Stops at the first one that fails.
    pub fn pass(&mut self, time: Duration) -> Result<()> {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let end = self.world.now_ms.saturating_add(millis);
        while let Some((id, timer)) = self.next_timer(end) {
            self.world.timers.remove(&id);
            self.world.now_ms = self.world.now_ms.max(timer.at_ms);
            self.handle(0, "@timer", vec![id.into(), timer.payload.into()])?;
        }
        self.world.now_ms = end;
        Ok(())
    }

    fn next_timer(&self, end: u64) -> Option<(String, Timer)> {
        let due = self.world.timers.iter().filter(|(_, it)| it.at_ms <= end);
        let (id, timer) = due.min_by_key(|(_, it)| it.at_ms)?;
        Some((id.clone(), timer.clone()))
    }

    /// The device starts again: timers that are not durable are gone, and so are clients.
    pub fn restart(&mut self) {
        self.world.timers.retain(|_, timer| timer.durable);
        self.world.sessions.clear();
        let mut details = Map::new();
        details.insert("reloaded", false);
        self.event_or_panic("started", details);
    }

    /// Sets the device's clock, in milliseconds since 1970-01-01 UTC.
    pub fn set_clock(&mut self, now_ms: u64) {
        self.world.now_ms = now_ms;
    }

    /// Stored files by path.
    pub fn files(&mut self) -> &mut BTreeMap<String, Stored> {
        &mut self.world.files
    }

    /// The plugin's key-value data.
    pub fn kv(&mut self) -> &mut BTreeMap<String, Vec<u8>> {
        &mut self.world.kv
    }

    /// What is on the screen.
    pub fn screen(&self) -> &Screen {
        &self.world.screen
    }

    /// What the plugin drew; of an animation the first frame.
    #[track_caller]
    pub fn picture(&self) -> &Canvas {
        match self.frames().first() {
            Some((frame, _)) => frame,
            None => match &self.world.screen {
                Screen::Pixels(picture) => picture,
                other => panic!("the plugin drew nothing, the screen is {other:?}"),
            },
        }
    }

    /// The frames of the animation that the plugin drew; none where it did not.
    pub fn frames(&self) -> &[(Canvas, Duration)] {
        match &self.world.screen {
            Screen::Frames { frames, .. } => frames,
            _ => &[],
        }
    }

    /// What plays or is paused.
    pub fn sound(&self) -> Option<&Sound> {
        self.world.sound.as_ref()
    }

    /// 0.0 to 1.0.
    pub fn volume(&self) -> f64 {
        self.world.volume
    }

    /// Takes what clients were sent since the last time.
    pub fn pushed(&mut self) -> Vec<Pushed> {
        std::mem::take(&mut self.world.pushed)
    }

    /// Takes what clients were asked to do since the last time.
    pub fn asked(&mut self) -> Vec<Asked> {
        std::mem::take(&mut self.world.asked)
    }

    /// Timers that are set, by id.
    pub fn timers(&self) -> &BTreeMap<String, Timer> {
        &self.world.timers
    }

    /// What the plugin logged.
    pub fn log(&self) -> &[(Level, String)] {
        &self.world.log
    }

    fn request(&mut self, session: u64, op: &str, args: Vec<Value>) -> Result<Reply> {
        let row = self.table.ops.iter().find(|row| row.name == op);
        let row = row.ok_or_else(|| {
            Failure::new("unknown-op", format!("the plugin offers no opcode {op:?}"))
        })?;
        self.handle(session, op, matching::complete(row, args)?)
    }

    fn handle(&mut self, session: u64, op: &str, args: Vec<Value>) -> Result<Reply> {
        self.operations += 1;
        let call = Call {
            client_name: self
                .world
                .sessions
                .get(&session)
                .cloned()
                .unwrap_or_default(),
            session,
            now_ms: self.world.now_ms,
            // Any number that differs from the one before.
            seed: self.operations.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            token: self.operations,
        };
        let dispatch = self.dispatch;
        let (reply, staged) = world::within(self.world.clone(), || {
            dispatch(&call, op, &mut Arguments::new(args))
        });
        match &reply {
            Ok(reply) => {
                self.world = staged;
                if let Reply::Later(token) = reply {
                    self.world.put_off.insert(*token, None);
                }
            }
            Err(_) => self.world.log = staged.log,
        }
        reply
    }
}

fn single(mut values: Vec<Value>) -> Value {
    match values.len() {
        0 | 1 => values.pop().unwrap_or_default(),
        _ => Value::List(values),
    }
}
