//! A disk that is really full, under the real daemon: nothing is stored by halves, reading goes on, removing works, and
//! writing goes on by itself when there is room. Needs root, to mount a small disk in memory; the store's own tests make
//! the same faults without it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{Daemon, PATIENCE, Setup, args, daemon, media, wav};
use pixelboy_protocol::{Code, Outcome};

/// A file system of a size in memory, where the data folder is to be. Gone when it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None without the right to mount.
    fn mount(at: &Path, mebibytes: u32) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not root: nothing is tested here");
            return None;
        }
        fs::create_dir_all(at).unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .status()
            .unwrap();
        if !mounted.success() {
            eprintln!("no right to mount: nothing is tested here");
            return None;
        }
        Some(Self(at.to_owned()))
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        for size in [1 << 20, 4 << 10] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    /// Gives it back.
    fn empty(&self) {
        let _ = fs::remove_file(self.0.join("filler"));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the daemon may not have ended yet.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A daemon whose data lie on a small disk.
fn on_small_disk() -> Option<(SmallDisk, Daemon)> {
    let mut daemon = Setup::new().store("reserve_mib = 0").start();
    daemon.stop();
    fs::remove_dir_all(daemon.path("data")).unwrap();
    let disk = SmallDisk::mount(&daemon.path("data"), 24)?;
    daemon.boot();
    Some((disk, daemon))
}

fn verified(daemon: &Daemon) {
    let output = daemon::command()
        .args(["verify", "--data"])
        .arg(daemon.path("data"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
}

#[test]
fn a_full_disk_refuses_what_it_has_no_room_for_and_goes_on_when_it_has() {
    let Some((disk, mut daemon)) = on_small_disk() else {
        return;
    };
    let mut wire = daemon.client();
    let sound = wav::tone(2.0, 44_100, 440.0);
    wire.call("ss", args!["notes.txt", "milk\n"]);
    wire.call("si", args![media("logo.png"), "logo.png"]);
    let names = |wire: &mut harness::Wire| format!("{:?}", wire.call("ls", args![]));
    for round in 0..3 {
        let before = names(&mut wire);
        disk.fill();
        // What is left here and there may do for the first few; then there is no more.
        let fits = |number: &usize| {
            let path = format!("new-{number}.txt");
            let reply = wire.call_reply("ss", args![path, "x".repeat(20_000)]);
            match reply.outcome {
                Outcome::Failed(failure) => {
                    assert_eq!(failure.code, Code::NoSpace, "{failure:?}");
                    false
                }
                _ => true,
            }
        };
        let stored = (0..200).take_while(fits).count();
        assert!(stored < 200, "it is never full");
        let failure = wire.call_failing("si", args![media("sprite.png"), "new.png"]);
        assert_eq!(failure.code, Code::NoSpace, "{failure:?}");
        // The store asks the disk for its room a few times a second.
        let begun = Instant::now();
        loop {
            let transfer = wire.next_transfer();
            match wire.open_upload(transfer, Some(sound.len() as u64), None) {
                Err(refused) => {
                    assert_eq!(refused.code, Code::NoSpace, "{refused:?}");
                    break;
                }
                Ok(_) => assert!(begun.elapsed() < PATIENCE, "it is never refused"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }

        // Reading goes on, and so does removing.
        let got = wire.call("get", args!["logo.png"]);
        assert_eq!(wire.bytes(&got[0]), media("logo.png"));
        wire.call("del", args!["notes.txt"]);
        let mut after = names(&mut wire);
        assert!(!after.contains("notes.txt"), "{after}");
        assert_eq!(
            after.matches("new-").count(),
            2 * stored,
            "round {round}: {after}"
        );
        if round == 1 {
            // A start on a full disk, too.
            daemon.kill();
            daemon.boot();
            wire = daemon.client();
            assert_eq!(names(&mut wire), after);
        }
        disk.empty();
        wire.call("ss", args!["notes.txt", "milk\n"]);
        let upload = wire.upload(&sound);
        wire.call("sm", args![0, upload, "sound.wav"]);
        wire.call("del", args!["sound.wav"]);
        for number in 0..stored {
            wire.call("del", args![format!("new-{number}.txt")]);
        }
        after = names(&mut wire);
        assert_eq!(
            after.matches("path").count(),
            before.matches("path").count()
        );
    }
    drop(wire);
    daemon.stop();
    verified(&daemon);
    daemon.assert_no_stack_trace();
}

#[test]
fn every_line_that_was_acknowledged_is_there_once_and_none_that_was_refused() {
    let Some((disk, mut daemon)) = on_small_disk() else {
        return;
    };
    let over = AtomicBool::new(false);
    let address = &daemon;
    let written: Vec<(String, u32)> = std::thread::scope(|threads| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let over = &over;
                threads.spawn(move || {
                    let mut wire = address.client();
                    let (mut text, mut refused) = (String::new(), 0);
                    let mut number = 0;
                    while !over.load(Ordering::Relaxed) {
                        number += 1;
                        let line = format!("{writer}:{number} {}\n", "x".repeat(3_000));
                        let path = format!("{writer}.txt");
                        let reply = wire.call_reply("ss", args![path, line.clone()]);
                        if number % 100 == 0 {
                            wire.confirm(reply.number);
                        }
                        match reply.outcome {
                            Outcome::Failed(failure) => {
                                assert_eq!(failure.code, Code::NoSpace, "{failure:?}");
                                refused += 1;
                            }
                            _ => text.push_str(&line),
                        }
                        if text.len() > 1 << 20 {
                            // What frees space is never refused for long.
                            wire.call("del", args![format!("{writer}.txt")]);
                            text.clear();
                        }
                    }
                    (text, refused)
                })
            })
            .collect();
        for _ in 0..8 {
            disk.fill();
            std::thread::sleep(Duration::from_millis(150));
            disk.empty();
            std::thread::sleep(Duration::from_millis(150));
        }
        over.store(true, Ordering::Relaxed);
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    assert!(
        written.iter().any(|(_, refused)| *refused > 0),
        "never full"
    );
    for again in [false, true] {
        let mut wire = daemon.client();
        for (writer, (text, _)) in written.iter().enumerate() {
            let path = format!("{writer}.txt");
            // A plain file that could not follow does so within a second or two.
            let begun = Instant::now();
            let follows = || fs::read(daemon.stored(&path)).unwrap_or_default() == text.as_bytes();
            while !follows() {
                let found = fs::read(daemon.stored(&path)).unwrap_or_default().len();
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{path}: {found} bytes instead of {}, again: {again}",
                    text.len()
                );
                std::thread::sleep(Duration::from_millis(20));
            }
            let got = wire.call("get", args![path]);
            assert!(wire.bytes(&got[0]) == text.as_bytes());
        }
        drop(wire);
        if !again {
            daemon.kill();
            daemon.boot();
        }
    }
    daemon.stop();
    verified(&daemon);
    daemon.assert_no_stack_trace();
}
