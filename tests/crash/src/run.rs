//! One seed: some lives of a daemon, each ended by a power cut or a kill, and the judgement after each.
//! Invariant: judged is what is on the disk and what comes over the wire, against the model alone.
//! Not here: what clients do (`client`), what an operation means (`model`).
//! A finding names the life and what differs; the daemon's log follows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use faultfs::{Call, Cut, Disk, Errno, FaultFs, Random, Rule};
use harness::{Identity, Wire, args, text_field};
use pixelboy_protocol::{Code, Outcome, Reply, Value};
use tempfile::TempDir;

use crate::Tally;
use crate::client::{Client, Fate, Step, Work};
use crate::device::{self, Device};
use crate::model::{Act, Expected, Files, SHARED};

/// How lives end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The power is cut.
    PowerCut,
    /// The daemon is killed; what it wrote stays.
    Kill,
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything but the timing.
    pub seed: u64,
    /// How lives end.
    pub ending: Ending,
    /// How many.
    pub lives: u64,
    /// A guard that the daemon is to leave out, to see that this is found.
    pub without: Option<String>,
    /// Whether the disk fails in some lives while the power stays. It finds that an operation behind one whose outcome is
    /// unknown is refused for good, as if that one had not been: known, and to be mended.
    pub failing_disks: bool,
}

/// Where the data folder is.
enum Ground {
    Faulty(Disk),
    Plain(TempDir),
}

/// A ground while a daemon stands on it.
enum Standing<'a> {
    Faulty(FaultFs),
    Plain(&'a TempDir),
}

impl Standing<'_> {
    fn data(&self) -> PathBuf {
        match self {
            Self::Faulty(fs) => fs.path(),
            Self::Plain(folder) => folder.path().join("data"),
        }
    }

    fn is_off(&self) -> bool {
        matches!(self, Self::Faulty(fs) if fs.is_off())
    }

    /// The plain files, as they lie there now.
    fn media(&self) -> Files {
        match self {
            Self::Faulty(fs) => media_of(&fs.disk()),
            Self::Plain(_) => {
                let files = harness::snapshot(&self.data().join("media"));
                let name = |path: &Path| path.to_string_lossy().into_owned();
                let found = files.into_iter();
                found
                    .filter(|(path, _)| self.data().join("media").join(path).is_file())
                    .map(|(path, bytes)| (name(&path), bytes))
                    .collect()
            }
        }
    }
}

fn media_of(disk: &Disk) -> Files {
    let files = disk.files().into_iter();
    files
        .filter_map(|(path, bytes)| Some((path.strip_prefix("media/")?.to_owned(), bytes)))
        .collect()
}

/// Runs a plan.
///
/// # Errors
/// What was found, in words.
pub fn run(plan: &Plan) -> Result<Tally, String> {
    let mut device = Device::new(plan.without.clone());
    let work = AssertUnwindSafe(|| Run::new(plan)?.lives(&mut device));
    let lives = catch_unwind(work).unwrap_or_else(|_| Err("failed, see above".into()));
    lives.map_err(|finding| {
        format!(
            "{finding}\n---- the end of the daemon's log ----\n{}",
            device.log()
        )
    })
}

struct Run<'a> {
    plan: &'a Plan,
    random: Random,
    clients: Vec<Client>,
    ground: Option<Ground>,
    tally: Tally,
    life: u64,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan) -> Result<Self, String> {
        let mut random = Random::new(plan.seed);
        let mut tally = Tally {
            seeds: 1,
            ..Tally::default()
        };
        let clients = 1 + random.below(3) as u8;
        let ground = match plan.ending {
            Ending::PowerCut if random.chance(5) => {
                Ground::Faulty(device::furnished_in_spite_of(&mut random, &mut tally)?)
            }
            Ending::PowerCut => {
                static FURNISHED: OnceLock<Disk> = OnceLock::new();
                Ground::Faulty(FURNISHED.get_or_init(device::furnished).clone())
            }
            Ending::Kill => {
                let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
                device::furnish(&folder.path().join("data"));
                Ground::Plain(folder)
            }
        };
        Ok(Self {
            plan,
            clients: (0..clients)
                .map(|index| Client::new(index, plan.seed))
                .collect(),
            random,
            ground: Some(ground),
            tally,
            life: 0,
        })
    }

    fn lives(&mut self, device: &mut Device) -> Result<Tally, String> {
        for life in 0..=self.plan.lives {
            self.life = life;
            let ground = self.ground.take().unwrap();
            let ground = match ground {
                Ground::Faulty(disk) => Ground::Faulty(self.faulty_life(disk, device)?),
                Ground::Plain(folder) => {
                    let standing = Standing::Plain(&folder);
                    device.spawn(&standing.data(), device::setup());
                    let address = device.ready(|| false)?.unwrap();
                    self.one_life(&standing, address, device)?;
                    device.kill();
                    Ground::Plain(folder)
                }
            };
            self.ground = Some(ground);
        }
        Ok(self.tally)
    }

    fn is_last(&self) -> bool {
        self.life == self.plan.lives
    }

    fn faulty_life(&mut self, mut disk: Disk, device: &mut Device) -> Result<Disk, String> {
        let mut may_cut = self.life > 0 && self.random.chance(35);
        loop {
            let fs = FaultFs::mount(disk, self.random.any()).map_err(|error| error.to_string())?;
            if may_cut {
                let cut = self.cut(12);
                fs.cut_at(cut);
            }
            device.fold_after = [1, 5, 20, 8_000][self.random.below(4) as usize];
            device.spawn(&fs.path(), device::setup());
            let ready = device.ready(|| fs.is_off());
            if let Ok(Some(_)) = ready {
                fs.cut_at(None);
            }
            if fs.is_off() {
                device.kill();
                self.tally.cuts_in_recovery += 1;
                disk = self.after_cut(fs);
                may_cut = self.random.chance(30);
                continue;
            }
            let address = ready
                .map_err(|words| self.finding(&words))?
                .ok_or_else(|| self.finding("not ready"))?;
            let standing = Standing::Faulty(fs);
            self.one_life(&standing, address, device)?;
            device.kill();
            let Standing::Faulty(fs) = standing else {
                unreachable!()
            };
            return Ok(self.after_cut(fs));
        }
    }

    fn after_cut(&mut self, fs: FaultFs) -> Disk {
        let (disk, damage) = fs.unmount().after_cut(self.random.any());
        self.tally.torn_writes += damage.torn_writes;
        self.tally.overtaken_writes += damage.overtaken_writes;
        self.tally.lost_names += damage.lost_names;
        let there = media_of(&disk);
        let late = self.clients.iter().any(|client| {
            let mut files = Files::new();
            let answered = last_answered(client);
            let done = client.steps.iter().take(answered);
            let mut put = false;
            for step in done.filter(|step| !matches!(step.fate, Fate::Void)) {
                step.act.apply(&mut files);
                put = matches!(step.act, Act::Put(..));
            }
            let last = client.steps.get(answered.wrapping_sub(1));
            match last.map(|step| &step.act) {
                Some(Act::Put(_, path, bytes)) if put => there.get(path) != Some(bytes),
                _ => false,
            }
        });
        self.tally.cut_before_rename += u64::from(late);
        disk
    }

    /// A moment, among about so many.
    fn cut(&mut self, moments: u64) -> Cut {
        let mut below = |end| 1 + self.random.below(end);
        match below(8) {
            1 | 2 => Cut::BeforeSync(below(moments)),
            3 => Cut::DuringSync(below(moments)),
            4 | 5 => Cut::AfterSync(below(moments)),
            6 | 7 => Cut::InWrite(below(moments * 3)),
            _ => Cut::AfterName(below(moments)),
        }
    }

    /// What goes wrong on a disk whose power does not go.
    fn rule(&mut self) -> Rule {
        let calls = [
            Call::Sync,
            Call::Sync,
            Call::Write,
            Call::Write,
            Call::SyncFolder,
            Call::Create,
            Call::Rename,
            Call::Link,
            Call::SetLen,
            Call::Unlink,
        ];
        let mut pick = |of: usize| self.random.below(of as u64) as usize;
        let call = calls[pick(calls.len())];
        let path = ["", "record", "media", "staging"][pick(4)];
        let error = [Errno::IO, Errno::IO, Errno::NOSPC, Errno::ROFS][pick(4)];
        let rule = Rule::new(call, path, error).from(1 + pick(30) as u64);
        if pick(2) == 0 { rule.once() } else { rule }
    }

    fn finding(&self, words: &str) -> String {
        format!("life {}: {words}", self.life)
    }

    fn one_life(
        &mut self,
        standing: &Standing<'_>,
        address: SocketAddr,
        device: &mut Device,
    ) -> Result<(), String> {
        let committed = self
            .judge(standing, address)
            .map_err(|words| self.finding(&words))?;
        self.judge_shown(&committed, device)?;
        let last = self.is_last();
        let slow_upload = !last && self.random.chance(6);
        let work = Work {
            operations: if last { 0 } else { 10 + self.random.below(50) },
            window: [0, 1, 3, 10][self.random.below(4) as usize],
            slow_upload,
        };
        let timed = Duration::from_micros(if slow_upload {
            1_050_000 + self.random.below(500_000)
        } else {
            self.random.below(250_000)
        });
        // Some are asked to stop, and the power goes meanwhile.
        let stops = !last && !slow_upload && self.random.chance(12);
        let cut_in_stop = self.cut(10);
        self.tally.stops += u64::from(stops);
        let cut = self.cut(45);
        if let (Standing::Faulty(fs), false) = (standing, last || slow_upload || stops) {
            if self.random.chance(20) && self.plan.failing_disks {
                self.tally.failing_disks += 1;
                fs.fail(self.rule());
            } else {
                fs.cut_at(cut);
            }
        }
        let by_time = !last && (stops || slow_upload || self.plan.ending == Ending::Kill);
        let linger = Duration::from_micros(self.random.below(20_000));

        if let Standing::Faulty(fs) = standing
            && self.random.chance(40)
        {
            fs.slow_syncs(Duration::from_micros(self.random.below(12_000)));
        }

        let begun = Instant::now();
        let lives: Vec<Result<Tally, String>> = std::thread::scope(|scope| {
            let handles: Vec<_> = self
                .clients
                .iter_mut()
                .map(|client| scope.spawn(move || client.live(address, work)))
                .collect();
            while !handles.iter().all(|handle| handle.is_finished()) {
                let over = by_time && begun.elapsed() > timed;
                if over && stops {
                    if let Standing::Faulty(fs) = standing {
                        fs.cut_at(cut_in_stop);
                    }
                    device.stop(|| standing.is_off());
                    break;
                }
                if over || standing.is_off() {
                    if let Standing::Faulty(fs) = standing {
                        fs.cut();
                        std::thread::sleep(linger);
                    }
                    device.kill();
                    break;
                }
                std::thread::sleep(Duration::from_micros(300));
            }
            handles
                .into_iter()
                .map(|handle| {
                    handle
                        .join()
                        .unwrap_or_else(|_| Err("a client failed".into()))
                })
                .collect()
        });
        for life in lives {
            self.tally += life.map_err(|words| self.finding(&words))?;
        }
        if last {
            self.judge_end(standing, address)
                .map_err(|words| self.finding(&words))?;
        } else {
            if let Standing::Faulty(fs) = standing {
                fs.cut();
            }
            device.kill();
            self.tally.cuts += 1;
            let steps = self.clients.iter().flat_map(|client| &client.steps);
            let answered = steps.filter(|step| matches!(step.fate, Fate::Answered(_)));
            self.tally.answered = answered.count() as u64;
        }
        self.clients.iter_mut().for_each(Client::settle);
        for (client, committed) in self.clients.iter().zip(&committed) {
            judge_answers(client, committed).map_err(|words| self.finding(&words))?;
        }
        for client in &mut self.clients {
            for step in &mut client.steps {
                step.sent_again = false;
            }
        }
        self.judge_shown_count(device);
        Ok(())
    }

    /// What is there after the start, before any client came back: for each client, how many of its operations may have
    /// been committed.
    fn judge(
        &self,
        standing: &Standing<'_>,
        address: SocketAddr,
    ) -> Result<Vec<RangeInclusive<usize>>, String> {
        let there = standing.media();
        let shared = lines(&there)?;
        let mut wire = Wire::join(address, Identity::new());
        let mut ranges = Vec::new();
        for client in &self.clients {
            let range = committed(client, &there, &shared)?;
            let mut files = Files::new();
            for step in client.steps.iter().take(*range.end()) {
                if !matches!(step.fate, Fate::Void) {
                    step.act.apply(&mut files);
                }
            }
            through_the_wire(&mut wire, client.index, &files)?;
            ranges.push(range);
        }
        if let Some(bytes) = there.get(SHARED) {
            whole(&mut wire, SHARED, bytes)?;
        }
        Ok(ranges)
    }

    /// After everything was answered: all of it is there, once.
    fn judge_end(&self, standing: &Standing<'_>, address: SocketAddr) -> Result<(), String> {
        let ranges = self.judge(standing, address)?;
        let there = standing.media();
        for (client, range) in self.clients.iter().zip(ranges) {
            let open = client
                .steps
                .iter()
                .position(|step| matches!(step.fate, Fate::Pending));
            if let Some(at) = open {
                return Err(format!(
                    "client {}: operation {} has no answer at the end",
                    client.index,
                    at + 1
                ));
            }
            if *range.end() != client.steps.len() {
                let (end, all) = (range.end(), client.steps.len());
                return Err(format!("client {}: {end} of {all} are there", client.index));
            }
            // Appends to the shared file lie where they were said to lie.
            let all = there.get(SHARED).map_or(&[][..], Vec::as_slice);
            for step in &client.steps {
                if let (Act::Shared(text), Fate::Answered(reply)) = (&step.act, &step.fate)
                    && let Some(map) = done(reply)
                {
                    let at = number(map, "offset").unwrap_or(u64::MAX) as usize;
                    if all.get(at..at.saturating_add(text.len())) != Some(text) {
                        return Err(format!(
                            "client {}: append {} does not lie at {at}",
                            client.index, step.request.number
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Nothing was ever shown that is not in the record.
    fn judge_shown(
        &self,
        committed: &[RangeInclusive<usize>],
        device: &mut Device,
    ) -> Result<(), String> {
        for (client, number) in device.shown() {
            let end = committed
                .get(usize::from(*client))
                .map(|range| *range.end());
            if end.is_none_or(|end| *number > end as u64) {
                return Err(self.finding(&format!(
                    "shown before it was durable: the picture of operation {number} of client {client}; the record knows {end:?}"
                )));
            }
        }
        Ok(())
    }

    fn judge_shown_count(&mut self, device: &mut Device) {
        self.tally.shown = device.shown().len() as u64;
    }
}

/// The highest operation of a client that was answered as done and wrote; all before it must be there.
fn last_answered(client: &Client) -> usize {
    let acknowledged = |step: &Step| {
        step.act.writes() && matches!(&step.fate, Fate::Answered(reply) if reply.stored.is_some())
    };
    client
        .steps
        .iter()
        .rposition(acknowledged)
        .map_or(0, |at| at + 1)
}

/// How many operations of a client may have been committed, by its own files and its lines in the shared one.
fn committed(
    client: &Client,
    there: &Files,
    shared: &BTreeMap<u8, Vec<u64>>,
) -> Result<RangeInclusive<usize>, String> {
    let folder = format!("c{}/", client.index);
    let own: Files = there
        .iter()
        .filter(|(path, _)| path.starts_with(&folder))
        .map(|(path, bytes)| (path.clone(), bytes.clone()))
        .collect();
    let none = Vec::new();
    let own_lines = shared.get(&client.index).unwrap_or(&none);
    let answered = last_answered(client);
    let (mut first, mut last) = (None, 0);
    let mut files = Files::new();
    let mut appended = Vec::new();
    let mut nearest = String::new();
    for count in 0..=client.steps.len() {
        if let Some(step) = count.checked_sub(1).map(|at| &client.steps[at])
            && !matches!(step.fate, Fate::Void)
        {
            step.act.apply(&mut files);
            if matches!(step.act, Act::Shared(_)) {
                appended.push(step.request.number);
            }
        }
        if count < answered {
            continue;
        }
        if files == own && appended == *own_lines {
            first.get_or_insert(count);
            last = count;
        } else if count == answered {
            nearest = difference(&files, &own, &appended, own_lines);
        }
    }
    let Some(first) = first else {
        return Err(format!(
            "client {}: {answered} operations were acknowledged, {} sent, and what is there is no state between; against the acknowledged one: {nearest}",
            client.index,
            client.steps.len()
        ));
    };
    Ok(first..=last)
}

fn difference(expected: &Files, found: &Files, appended: &[u64], own_lines: &[u64]) -> String {
    let mut words = Vec::new();
    for path in expected.keys().chain(found.keys()) {
        let (want, have) = (expected.get(path), found.get(path));
        if want != have {
            let bytes =
                |file: Option<&Vec<u8>>| file.map_or("none".into(), |file| file.len().to_string());
            let first = want
                .zip(have)
                .and_then(|(want, have)| want.iter().zip(have).position(|(a, b)| a != b));
            words.push(format!(
                "{path}: expected {} bytes, found {}, first difference at {first:?}",
                bytes(want),
                bytes(have)
            ));
        }
    }
    words.dedup();
    if appended != own_lines {
        let missing: Vec<_> = appended.iter().filter(|n| !own_lines.contains(n)).collect();
        let more: Vec<_> = own_lines.iter().filter(|n| !appended.contains(n)).collect();
        words.push(format!("{SHARED}: missing {missing:?}, more {more:?}"));
    }
    words.join("; ")
}

/// The shared file's lines by client, which must be whole, in order and each there once.
fn lines(there: &Files) -> Result<BTreeMap<u8, Vec<u64>>, String> {
    let mut by_client: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    let Some(bytes) = there.get(SHARED) else {
        return Ok(by_client);
    };
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{SHARED} is no text any more"))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(format!("{SHARED} ends in half a line"));
    }
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let mut number = || parts.next().and_then(|part| part.parse::<u64>().ok());
        let (Some(client), Some(number)) = (number(), number()) else {
            return Err(format!("{SHARED} has a line that nobody sent: {line:?}"));
        };
        let own = by_client.entry(client as u8).or_default();
        if own.last().is_some_and(|last| *last >= number) {
            return Err(format!(
                "{SHARED}: line {number} of client {client} is there twice or out of order"
            ));
        }
        own.push(number);
    }
    Ok(by_client)
}

/// What `ls` and `get` say is what the model says.
fn through_the_wire(wire: &mut Wire, client: u8, files: &Files) -> Result<(), String> {
    let mut listed = Vec::new();
    let mut folders = vec![format!("c{client}")];
    while let Some(folder) = folders.pop() {
        let entries = match wire.call_reply("ls", args![folder.as_str()]).outcome {
            Outcome::Done(values) => wire.values(values),
            Outcome::Failed(failure) if failure.code == Code::NotFound => continue,
            Outcome::Failed(failure) => return Err(format!("ls failed: {failure:?}")),
        };
        for entry in entries.first().and_then(Value::as_list).unwrap_or_default() {
            let path = text_field(entry, "path").to_owned();
            if text_field(entry, "kind") == "folder" {
                folders.push(path);
            } else {
                listed.push(path);
            }
        }
    }
    listed.sort();
    let expected: Vec<&String> = files.keys().collect();
    if listed.iter().collect::<Vec<_>>() != expected {
        return Err(format!("ls lists {listed:?}, there should be {expected:?}"));
    }
    files
        .iter()
        .try_for_each(|(path, bytes)| whole(wire, path, bytes))
}

fn whole(wire: &mut Wire, path: &str, bytes: &[u8]) -> Result<(), String> {
    let values = match wire.call_reply("get", args![path]).outcome {
        Outcome::Done(values) => wire.values(values),
        Outcome::Failed(failure) => return Err(format!("get {path} failed: {failure:?}")),
    };
    let got = wire.bytes(&values[0]);
    let size = number(&values[1], "size");
    if got == bytes && size == Some(bytes.len() as u64) {
        return Ok(());
    }
    Err(format!(
        "get {path} gives {} bytes and says {size:?}, there should be {}, and those",
        got.len(),
        bytes.len()
    ))
}

/// Every answer is what the model says; what was committed before was answered from the record, and nothing else was.
fn judge_answers(client: &Client, committed: &RangeInclusive<usize>) -> Result<(), String> {
    let mut files = Files::new();
    for (at, step) in client.steps.iter().enumerate() {
        let wrong = |words: String| {
            let (index, number, op) = (client.index, at + 1, &step.request.op);
            Err(format!(
                "client {index}: {op} under number {number}: {words}"
            ))
        };
        if matches!(step.fate, Fate::Void) {
            continue;
        }
        let expected = step.act.apply(&mut files);
        let Fate::Answered(reply) = &step.fate else {
            continue;
        };
        let wrote = step.act.writes() && !matches!(expected, Expected::Refused(_));
        if !says(reply, expected, wrote) {
            return wrong(format!("answered {reply:?}, expected {expected:?}"));
        }
        if wrote && step.sent_again {
            let was_there = at < *committed.start();
            let was_not = at >= *committed.end();
            if (was_there && !reply.recorded) || (was_not && reply.recorded) {
                return wrong(format!(
                    "sent again, {committed:?} were committed, and the answer comes from the record: {}",
                    reply.recorded
                ));
            }
        }
        for again in &step.again {
            if wrote && !(again.recorded && again.outcome == reply.outcome) {
                return wrong(format!("answered {reply:?}, and later {again:?}"));
            }
        }
    }
    Ok(())
}

/// Whether a reply says what is expected.
fn says(reply: &Reply, expected: Expected, wrote: bool) -> bool {
    if let Outcome::Failed(failure) = &reply.outcome {
        return match expected {
            Expected::Refused(code) => failure.code == code || failure.code == Code::RanReplyLost,
            // After a crash of the host it is not known any more whether it ran.
            _ => !wrote && failure.code == Code::RanReplyLost,
        };
    }
    if reply.stored.is_some() != wrote {
        return false;
    }
    let map = done(reply);
    match expected {
        Expected::Refused(_) => false,
        Expected::Done => true,
        Expected::Appended(len) => map.is_some_and(|map| {
            let (offset, size) = (number(map, "offset"), number(map, "size"));
            offset.map(|offset| offset + len) == size && size.is_some()
        }),
        Expected::Stored(offset, size) => map.is_some_and(|map| {
            number(map, "size") == Some(size)
                && (offset.is_none() || number(map, "offset") == offset)
        }),
    }
}

fn done(reply: &Reply) -> Option<&Value> {
    match &reply.outcome {
        Outcome::Done(values) => values.first(),
        Outcome::Failed(_) => None,
    }
}

fn number(map: &Value, key: &str) -> Option<u64> {
    match map.get(key)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}
