//! The real way to a speaker: rodio, cpal and ALSA into a private PulseAudio daemon, whose sink is recorded.
//! Each test runs this very program again as the player, because ALSA takes its setup from the environment.
//! Here time is real. Stated tolerances: a command is heard within 150 ms of being sent (a play within 400 ms);
//! stretches of sound and silence are as long as asked to 60 ms.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod pulse;
mod studio;

use pixelboy_audio::{Audio, AudioEvent, AudioSettings};
use pulse::PulseAudio;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};
use studio::{TONE_LEVEL, media, near, piece, tone};

/// From a command's sending to its effect at the sink, at most.
const LATENCY_S: f64 = 0.150;
/// The same for a play: its decoder's thread has to start and decode first, on a busy machine in a slow build.
const START_S: f64 = 0.400;
/// Of a stretch's length.
const LENGTH_S: f64 = 0.060;

/// The player's side: commands on standard input, answers and events on standard output, each line led by `@`.
#[test]
#[ignore = "the player process that the other tests here start"]
fn player() {
    let (audio, mut events) = Audio::start(AudioSettings::default());
    std::thread::spawn(move || {
        while let Some(AudioEvent::Ended { token, why, .. }) = events.blocking_recv() {
            println!("@event {token} {why:?}");
        }
    });
    // Made before it is asked for: that takes its time too.
    let long = tone(30.0);
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["tone"] => started(&audio, long.clone(), 0),
            ["pips", at_ms] => started(&audio, media("pips-vbr.mp3"), at_ms.parse().unwrap()),
            ["pause"] => format!("{:?}", audio.pause().map(drop)),
            ["resume"] => format!("{:?}", audio.resume().map(drop)),
            ["stop"] => format!("{:?}", audio.stop().map(drop)),
            ["volume", volume] => format!("{:?}", audio.set_volume(volume.parse().unwrap())),
            ["position"] => format!("{}", audio.now().unwrap().position.as_millis()),
            _ => panic!("{line}"),
        };
        println!("@answer {answer}");
    }
    audio.shutdown();
}

fn started(
    audio: &Audio,
    source: impl pixelboy_audio::MusicSource + 'static,
    at_ms: u64,
) -> String {
    match audio.play(piece(source, at_ms, 1)).blocking_recv().unwrap() {
        Ok(_) => "Ok(())".to_owned(),
        Err(error) => format!("Err({error})"),
    }
}

/// The test's side of a player process.
struct Player {
    process: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    events: Receiver<String>,
}

impl Player {
    fn start(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "player", "--nocapture"])
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (to_answers, answers) = channel();
        let (to_events, events) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test framework writes its own words before the first line.
                if let Some((_, answer)) = line.split_once("@answer ") {
                    let _ = to_answers.send(answer.to_owned());
                } else if let Some((_, event)) = line.split_once("@event ") {
                    let _ = to_events.send(event.to_owned());
                }
            }
        });
        Self {
            commands: process.stdin.take(),
            process,
            answers,
            events,
        }
    }

    /// Sends a command; returns when it was sent, and its answer.
    fn ask(&mut self, command: &str) -> (SystemTime, String) {
        let sent = SystemTime::now();
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let answer = self.answers.recv_timeout(Duration::from_secs(20));
        (
            sent,
            answer.unwrap_or_else(|_| panic!("no answer to {command}")),
        )
    }

    /// Sends a command that has to succeed; returns when it was sent.
    fn tell(&mut self, command: &str) -> SystemTime {
        let (sent, answer) = self.ask(command);
        assert_eq!(answer, "Ok(())", "{command}");
        sent
    }

    /// Ends the player; returns what it wrote on standard error.
    fn end(mut self) -> String {
        self.commands = None;
        let mut errors = String::new();
        let mut output = self.process.stderr.take().unwrap();
        output.read_to_string(&mut errors).unwrap();
        assert!(self.process.wait().unwrap().success(), "{errors}");
        errors
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // Already gone when it was ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Real time has to pass for there to be sound.
fn listen(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn what_is_asked_for_is_heard_at_the_sink_when_it_is_asked_for() {
    let pulse = PulseAudio::start().unwrap();
    let mut player = Player::start(pulse.environment());
    let recorder = pulse.record().unwrap();
    // Until the player is up and has its device.
    player.tell("volume 1");
    listen(500);
    let play = player.tell("tone");
    listen(1_500);
    let pause = player.tell("pause");
    listen(1_000);
    let resume = player.tell("resume");
    listen(1_000);
    let softer = player.tell("volume 0.25");
    listen(1_000);
    let louder = player.tell("volume 1");
    listen(1_000);
    let stop = player.tell("stop");
    listen(700);
    let pips = player.tell("pips 4500");
    listen(2_000);
    let (asked, position) = player.ask("position");
    player.tell("stop");
    let errors = player.end();
    let recording = recorder.stop();

    let begun = recording.begun.unwrap();
    let at = |time: SystemTime| time.duration_since(begun).unwrap().as_secs_f64();
    let between = |from: SystemTime, to: SystemTime| at(to) - at(from);
    let spans = recording.loud_spans(0.03, 0.2);
    for span in &spans {
        println!(
            "heard from {:.3} to {:.3} s at {:.3}",
            span.from_s, span.to_s, span.level
        );
    }
    // The tone in two stretches, then the pips at 5 s and 6 s of theirs.
    assert_eq!(spans.len(), 4, "{spans:?}");
    let within = |limit_s: f64, what: &str, heard: f64, sent: SystemTime| {
        let late = heard - at(sent);
        println!("{what}: heard {:.0} ms after it was sent", late * 1_000.0);
        assert!(
            (-0.005..=limit_s).contains(&late),
            "{what}: {late:.3} s late"
        );
    };
    let late = |what: &str, heard: f64, sent: SystemTime| within(LATENCY_S, what, heard, sent);
    within(START_S, "play", spans[0].from_s, play);
    late("pause", spans[0].to_s, pause);
    late("resume", spans[1].from_s, resume);
    late("stop", spans[1].to_s, stop);
    near(
        "silence of the pause",
        spans[1].from_s - spans[0].to_s,
        between(pause, resume),
        LENGTH_S,
    );
    near(
        "after the pause",
        spans[1].length_s(),
        between(resume, stop),
        LENGTH_S,
    );

    let level = |from: SystemTime, to: SystemTime| recording.level(at(from) + LATENCY_S, at(to));
    near("level at first", spans[0].level, TONE_LEVEL, 0.01);
    near("level in the pause", level(pause, resume), 0.0, 0.000_5);
    near(
        "level after the pause",
        level(resume, softer),
        TONE_LEVEL,
        0.01,
    );
    near(
        "level at a quarter",
        level(softer, louder),
        TONE_LEVEL / 4.0,
        0.005,
    );
    near("level in full again", level(louder, stop), TONE_LEVEL, 0.01);
    near("level after the stop", level(stop, pips), 0.0, 0.000_5);
    near(
        "pitch",
        recording.frequency(at(play) + 0.3, at(pause)),
        440.0,
        1.0,
    );
    // When the volume changes: the first place where it is nearer to the new level.
    let change = |from: SystemTime, loud_after: bool| {
        (0..200)
            .map(|n| at(from) + f64::from(n) * 0.002)
            .find(|t| (recording.level(*t, t + 0.01) > TONE_LEVEL * 0.6) == loud_after)
            .unwrap()
    };
    late("softer", change(softer, false), softer);
    late("louder", change(louder, true), louder);

    within(
        START_S,
        "pip at 5 s of a piece begun at 4.5 s",
        spans[2].from_s - 0.5,
        pips,
    );
    // A period of the sound server, 23 ms, may be late on a busy machine; what is exact is tested on the clock (capture).
    near("pip to pip", spans[3].from_s - spans[2].from_s, 1.0, 0.025);
    let position_s = position.parse::<f64>().unwrap() / 1_000.0;
    let heard_s = 6.0 + at(asked) - spans[3].from_s;
    println!("position {position_s:.3} s, at the sink {heard_s:.3} s");
    near("position", position_s, heard_s, LATENCY_S);
    assert!(!errors.contains("ALSA"), "{errors}");
}

#[test]
fn without_a_device_plays_are_refused_and_alsa_writes_nothing_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("asound.conf");
    // Cards that are not there, and a broken line: each alone makes ALSA talk.
    for config in [
        "pcm.!default { type hw card 31 }\n",
        "pcm.!default { type plug slave.pcm \"nothing\" }\n",
        "",
    ] {
        std::fs::write(&nowhere, config).unwrap();
        let environment = [("ALSA_CONFIG_PATH".into(), nowhere.clone().into_os_string())];
        let mut player = Player::start(environment);
        for _ in 0..2 {
            let (_, answer) = player.ask("tone");
            println!("{answer}");
            assert!(answer.starts_with("Err(no audio device: "), "{answer}");
        }
        let (_, answer) = player.ask("pause");
        assert_eq!(answer, "Err(NothingPlaying)");
        player.tell("volume 0.5");
        let errors = player.end();
        assert_eq!(errors, "", "standard error stays clean");
    }
}

#[test]
fn a_device_that_goes_away_ends_the_piece_and_is_used_again_when_it_is_back() {
    let mut pulse = PulseAudio::start().unwrap();
    let mut player = Player::start(pulse.environment());
    player.tell("tone");
    pulse.kill();
    let event = player.events.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(
        event.contains("DeviceLost(\"the audio device was lost"),
        "{event}"
    );
    println!("{event}");
    let (_, answer) = player.ask("tone");
    assert!(answer.starts_with("Err(no audio device: "), "{answer}");
    pulse.restart().unwrap();
    let recorder = pulse.record().unwrap();
    player.tell("tone");
    listen(700);
    player.tell("stop");
    let spans = recorder.stop().loud_spans(0.03, 0.2);
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert!(spans[0].length_s() > 0.5, "{spans:?}");
    player.end();
}
