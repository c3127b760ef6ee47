//! Real commands behind real pipes. Time for restarts is made up; only the commands themselves are waited for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs;
use std::path::Path;

use super::*;

fn frame(shade: u8, width: u32, height: u32) -> Frame {
    Frame::filled(width, height, [shade; 3])
}

/// The packets in a recording: width, height, sequence number, payload.
fn packets(mut bytes: &[u8]) -> Vec<(u16, u16, u32, Vec<u8>)> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(&bytes[..4], b"PXF1");
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let side = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
        let length = number(12) as usize;
        packets.push((side(4), side(6), number(8), bytes[16..16 + length].to_vec()));
        bytes = &bytes[16 + length..];
    }
    packets
}

/// Calls `tend` at a fixed made-up time until the pipe is as wanted.
fn until(pipe: &mut Pipe, now: Instant, wanted: impl Fn(&Delivery) -> bool) -> Delivery {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let delivery = pipe.tend(now);
        if wanted(&delivery) {
            return delivery;
        }
        assert!(Instant::now() < patience, "still {delivery:?}");
        thread::yield_now();
    }
}

fn reason(delivery: Delivery) -> String {
    match delivery {
        Delivery::Waiting(reason) => reason,
        Delivery::Done => panic!("the panel takes pictures"),
    }
}

/// Waits until the command has ended, and says what the panel says.
fn until_down(pipe: &mut Pipe, now: Instant) -> String {
    let patience = Instant::now() + Duration::from_secs(20);
    while let State::Running { .. } = pipe.state {
        pipe.tend(now);
        assert!(Instant::now() < patience, "it runs on");
        thread::yield_now();
    }
    reason(pipe.delivery())
}

fn is_down(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Waiting(reason) if reason.contains("started again"))
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn a_command_gets_every_frame_with_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got");
    let now = Instant::now();
    let mut pipe = Pipe::start(&format!("cat > '{}'", file.display()), now);
    let pixels = vec![
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
    ];
    let first = Frame::new(3, 2, pixels.clone()).unwrap();
    assert_eq!(pipe.present(&first, Step::First, now), Delivery::Done);
    assert_eq!(
        pipe.present(&frame(9, 3, 2), Step::Next, now),
        Delivery::Done
    );
    pipe.close();
    let bytes = read(&file);
    assert_eq!(&bytes[..16], b"PXF1\x03\0\x02\0\x01\0\0\0\x12\0\0\0");
    assert_eq!(packets(&bytes), [(3, 2, 1, pixels), (3, 2, 2, vec![9; 18])]);
}

#[test]
fn a_command_that_ends_is_started_again_later_and_gets_the_current_frame() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got");
    // Reads one frame of 1 x 1, then fails.
    let command = format!("head -c 19 >> '{}'; exit 3", file.display());
    let mut now = Instant::now();
    let mut pipe = Pipe::start(&command, now);
    assert_eq!(
        pipe.present(&frame(1, 1, 1), Step::First, now),
        Delivery::Done
    );
    let mut pauses = Vec::new();
    for _ in 0..7 {
        let why = until_down(&mut pipe, now);
        assert!(why.contains("exit status: 3"), "{why}");
        let again = pipe.tend_at().unwrap();
        pauses.push(again.duration_since(now).as_secs());
        assert!(
            is_down(&pipe.tend(again - Duration::from_millis(1))),
            "not yet"
        );
        now = again;
        pipe.tend(now);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    pipe.close();
    let got = packets(&read(&file));
    assert_eq!(got, vec![(1, 1, 1, vec![1; 3]); 8]);
}

#[test]
fn a_frame_shown_while_the_command_is_down_appears_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mark, file) = (folder.path().join("mark"), folder.path().join("got"));
    // Fails the first time.
    let command = format!(
        "if [ -e '{0}' ]; then cat > '{1}'; else touch '{0}'; exit 1; fi",
        mark.display(),
        file.display()
    );
    let now = Instant::now();
    let mut pipe = Pipe::start(&command, now);
    until_down(&mut pipe, now);
    let why = reason(pipe.present(&frame(1, 1, 1), Step::First, now));
    assert!(
        why.contains("exit status: 1") && why.contains("in 1 s"),
        "{why}"
    );
    pipe.present(&frame(2, 1, 1), Step::Next, now);
    let restarted = now + FIRST_PAUSE;
    assert!(is_down(&pipe.tend(restarted)), "it has not lasted yet");
    until(&mut pipe, restarted + LOOK_EVERY, |delivery| {
        *delivery == Delivery::Done
    });
    pipe.close();
    assert_eq!(packets(&read(&file)), [(1, 1, 1, vec![2; 3])]);
}

#[test]
fn a_command_that_ran_well_is_started_again_soon() {
    let folder = tempfile::tempdir().unwrap();
    let go = folder.path().join("go");
    let fifo = std::process::Command::new("mkfifo")
        .arg(&go)
        .status()
        .unwrap();
    assert!(fifo.success());
    let mut now = Instant::now();
    let mut pipe = Pipe::start("exit 1", now);
    for _ in 0..3 {
        until_down(&mut pipe, now);
        now = pipe.tend_at().unwrap();
        pipe.tend(now);
    }
    until_down(&mut pipe, now);
    now = pipe.tend_at().unwrap();
    pipe.command = format!("cat '{}'", go.display());
    pipe.tend(now);
    assert_eq!(pipe.tend(now + LOOK_EVERY), Delivery::Done);
    now += RAN_WELL;
    assert_eq!(pipe.tend(now), Delivery::Done);
    fs::write(&go, "").unwrap();
    assert!(until_down(&mut pipe, now).contains("in 1 s"));
}

#[test]
fn a_command_that_does_not_read_holds_nobody_up_and_gets_the_newest_frame_later() {
    let folder = tempfile::tempdir().unwrap();
    let (go, file) = (folder.path().join("go"), folder.path().join("got"));
    let fifo = std::process::Command::new("mkfifo")
        .arg(&go)
        .status()
        .unwrap();
    assert!(fifo.success());
    // Reads nothing before it is told to.
    let command = format!("read x < '{}'; cat > '{}'", go.display(), file.display());
    let now = Instant::now();
    let mut pipe = Pipe::start(&command, now);
    // 196,624 bytes each: more than a pipe holds.
    let begun = Instant::now();
    let why = reason(pipe.present(&frame(1, 256, 256), Step::First, now));
    assert!(why.contains("does not read"), "{why}");
    for shade in 2..=100 {
        assert!(matches!(
            pipe.present(&frame(shade, 256, 256), Step::Next, now),
            Delivery::Waiting(_)
        ));
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "100 frames took {took:?}");
    fs::write(&go, "now\n").unwrap();
    until(&mut pipe, now, |delivery| *delivery == Delivery::Done);
    pipe.close();
    let got: Vec<_> = packets(&read(&file))
        .into_iter()
        .map(|p| (p.2, p.3[0]))
        .collect();
    assert_eq!(
        got,
        [(1, 1), (100, 100)],
        "the one it had begun, and the newest"
    );
}

#[test]
fn closing_ends_a_command_that_does_not_want_to_end_and_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let command = format!(
        "trap '' TERM; sleep 1000 & echo $! >> '{0}'; echo $$ >> '{0}.leader'; while :; do sleep 1000; done",
        file.display()
    );
    let now = Instant::now();
    let mut pipe = Pipe::start(&command, now);
    let leader = folder.path().join("pids.leader");
    let patience = Instant::now() + Duration::from_secs(20);
    while fs::read_to_string(&leader).map_or(true, |text| !text.ends_with('\n')) {
        assert!(Instant::now() < patience);
        thread::yield_now();
    }
    let begun = Instant::now();
    pipe.close();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let sleeper: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let alive = || {
        fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    };
    while alive() {
        assert!(Instant::now() < patience, "its child lives on");
        thread::yield_now();
    }
}
