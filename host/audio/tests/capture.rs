//! The station through its WAV capture, on a clock that the tests turn: what is heard, when, and how loud.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod pulse;
mod studio;

use pixelboy_audio::clock::{Clock, ManualClock};
use pixelboy_audio::{Audio, AudioError, AudioEvent, AudioSettings, EndReason, MusicSource, Play};
use pulse::Recording;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use studio::{Studio, TONE_LEVEL, media, media_bytes, near, piece, pips, tone, wav};

#[test]
fn every_format_is_heard_whole_at_its_pitch_and_ends_by_itself() {
    // name, seconds, level as encoded (the stereo one was mixed with 3 dB less)
    for (name, seconds, level) in [
        ("tone.mp3", 3.0, 0.0884),
        ("tone.wav", 1.0, 0.0884),
        ("tone.flac", 2.0, 0.0884),
        ("tone.ogg", 3.0, 0.0625),
    ] {
        let mut studio = Studio::new();
        let started = studio.play(media(name), 0).unwrap();
        assert_eq!(started.position, Duration::ZERO);
        near(name, started.duration.unwrap().as_secs_f64(), seconds, 0.06);
        assert_eq!(studio.audio.now().unwrap().label, "piece 0");
        let (_, why, position) = studio.ended(5_000);
        assert_eq!(why, EndReason::Finished, "{name}");
        near(name, position.as_secs_f64(), seconds, 0.06);
        assert_eq!(studio.audio.now(), None);
        let spans = studio.finish().loud_spans(0.01, 0.05);
        assert_eq!(spans.len(), 1, "{name}: {spans:?}");
        near(name, spans[0].length_s(), seconds, 0.02);
        near(name, spans[0].level, level, 0.005);
    }
    let studio = Studio::new();
    studio.play(media("tone.mp3"), 0).unwrap();
    studio.advance(2_500);
    let recording = studio.finish();
    let end = recording.length_s();
    near("pitch", recording.frequency(end - 2.0, end), 440.0, 0.5);
}

/// The same pips in every format; for each, how late the first pip is by its encoder's fault, in seconds.
type Pips = (&'static str, Box<dyn MusicSource>, f64);

fn all_pips() -> Vec<Pips> {
    vec![
        ("wav 44.1 kHz", Box::new(pips(44_100)), 0.0),
        ("wav 48 kHz", Box::new(pips(48_000)), 0.0),
        ("wav 11 kHz", Box::new(pips(11_025)), 0.0),
        ("flac", Box::new(media("pips.flac")), 0.0),
        ("ogg", Box::new(media("pips.ogg")), 0.0),
        ("mp3 with Info", Box::new(media("pips-vbr.mp3")), 0.0),
        // Nobody wrote down what this encoder put in front: 1,105 frames at 22.05 kHz.
        (
            "mp3 without",
            Box::new(media("pips-cbr-untagged.mp3")),
            0.05,
        ),
    ]
}

#[test]
fn starting_in_the_middle_is_exact_in_every_format() {
    for start_at_ms in [0, 4_500, 7_250, 9_400] {
        for (name, source, late) in all_pips() {
            let mut studio = Studio::new();
            let answer = studio.audio.play(piece(source, start_at_ms, 0));
            let started = studio.answer(answer).unwrap();
            let start_s = start_at_ms as f64 / 1_000.0;
            near(name, started.position.as_secs_f64(), start_s, 0.000_1);
            studio.advance(300);
            // The end of the capture is this position: what is heard before it can be placed exactly.
            let position = studio.audio.now().unwrap().position.as_secs_f64();
            let at_s = position - studio.clock.now().as_secs_f64();
            assert_eq!(studio.ended(12_000).1, EndReason::Finished);
            let spans = studio.finish().loud_spans(0.02, 0.1);
            let first = (start_s - late).ceil();
            assert_eq!(
                spans.len(),
                10 - first as usize,
                "{name} from {start_s} s: {spans:?}"
            );
            let mut worst = 0.0_f64;
            for (index, span) in spans.iter().enumerate() {
                let wanted = first + index as f64 + late;
                worst = worst.max((at_s + span.from_s - wanted).abs());
            }
            println!(
                "{name} from {start_s} s: {} pips, at most {worst:.3} s off",
                spans.len()
            );
            assert!(
                worst < 0.021,
                "{name} from {start_s} s: a pip is {worst:.3} s off"
            );
        }
    }
}

#[test]
fn a_length_guessed_too_short_does_not_cut_the_music_off() {
    let mut studio = Studio::new();
    let started = studio.play(media("pips-changing-rate.mp3"), 0).unwrap();
    let guessed = started.duration.unwrap().as_secs_f64();
    assert!(
        guessed < 11.0,
        "this file is here because the guess is wrong: {guessed}"
    );
    let (_, why, position) = studio.ended(15_000);
    assert_eq!(why, EndReason::Finished);
    near("heard", position.as_secs_f64(), 12.0, 0.2);
    // The tone with the first pip right behind it, then nine more.
    assert_eq!(studio.finish().loud_spans(0.02, 0.1).len(), 10);
}

#[test]
fn a_pause_is_silence_of_its_length_and_loses_nothing() {
    let mut studio = Studio::new();
    studio.play(tone(2.0), 0).unwrap();
    studio.advance(500);
    let before = studio.audio.pause().unwrap();
    assert!(before.paused);
    studio.advance(700);
    let during = studio.audio.now().unwrap();
    assert!(during.paused);
    near(
        "position stands",
        during.position.as_secs_f64(),
        before.position.as_secs_f64(),
        0.011,
    );
    let again = studio.audio.pause().unwrap();
    assert!(again.paused, "pausing what is paused changes nothing");
    assert!(!studio.audio.resume().unwrap().paused);
    assert!(
        !studio.audio.resume().unwrap().paused,
        "nor resuming what plays"
    );
    studio.advance(300);
    near(
        "position goes on",
        studio.audio.now().unwrap().position.as_secs_f64(),
        before.position.as_secs_f64() + 0.3,
        0.02,
    );
    assert_eq!(studio.ended(3_000).1, EndReason::Finished);
    let spans = studio.finish().loud_spans(0.05, 0.05);
    assert_eq!(spans.len(), 2, "{spans:?}");
    near("silence", spans[1].from_s - spans[0].to_s, 0.7, 0.021);
    near(
        "sound in all",
        spans[0].length_s() + spans[1].length_s(),
        2.0,
        0.03,
    );
}

#[test]
fn a_piece_that_begins_paused_is_not_heard_before_it_is_resumed() {
    let studio = Studio::new();
    let play = Play {
        paused: true,
        ..piece(tone(2.0), 500, 1)
    };
    assert!(studio.answer(studio.audio.play(play)).unwrap().paused);
    studio.advance(400);
    let now = studio.audio.now().unwrap();
    assert!(now.paused);
    assert_eq!(now.position, Duration::from_millis(500));
    studio.audio.resume().unwrap();
    studio.advance(300);
    let recording = studio.finish();
    let spans = recording.loud_spans(0.000_1, 0.05);
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert!(
        spans[0].from_s > 0.38,
        "it was heard before it was resumed: {spans:?}"
    );
}

#[test]
fn a_play_is_ended_by_its_token_and_no_other_with_it() {
    let studio = Studio::new();
    let gate = Gate::default();
    studio
        .answer(studio.audio.play(piece(tone(2.0), 0, 1)))
        .unwrap();
    let next = studio.audio.play(piece(gate.source(tone(2.0)), 0, 2));
    assert!(!studio.audio.stop_play(3));
    assert!(studio.audio.stop_play(2), "it is about to begin");
    assert_eq!(studio.answer(next).unwrap_err(), AudioError::Stopped);
    assert_eq!(studio.audio.now().unwrap().token, 1, "that one goes on");
    assert!(!studio.audio.stop_play(2), "it is over");
    assert!(studio.audio.stop_play(1));
    assert_eq!(studio.audio.now(), None);
}

#[test]
fn the_volume_is_a_factor_on_what_is_heard_and_stays_from_piece_to_piece() {
    let studio = Studio::new();
    studio.play(tone(10.0), 0).unwrap();
    for volume in [1.0, 0.5, 0.1, 0.0, 1.0] {
        studio.audio.set_volume(volume).unwrap();
        studio.advance(500);
    }
    studio.audio.set_volume(0.25).unwrap();
    studio.play(tone(1.0), 0).unwrap();
    studio.advance(500);
    assert_eq!(studio.audio.volume(), 0.25);
    let recording = studio.finish();
    let begin = recording.loud_spans(0.05, 0.6)[0].from_s;
    for (index, volume) in [1.0, 0.5, 0.1, 0.0, 1.0].into_iter().enumerate() {
        let from = begin + index as f64 * 0.5;
        // The edges: a tick of 10 ms and a fade of 5 ms.
        let level = recording.level(from + 0.05, from + 0.45);
        near("level", level, TONE_LEVEL * volume, 0.004);
    }
    let end = recording.length_s();
    near(
        "next piece",
        recording.level(end - 0.4, end),
        TONE_LEVEL * 0.25,
        0.004,
    );
}

#[test]
fn a_volume_outside_its_range_is_refused_and_changes_nothing() {
    let studio = Studio::new();
    studio.audio.set_volume(0.75).unwrap();
    for volume in [-0.1, 1.1, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = studio.audio.set_volume(volume).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("from 0.0 (silent) to 1.0 (full)"),
            "{error}"
        );
    }
    assert_eq!(studio.audio.volume(), 0.75);
}

#[test]
fn stop_is_silence_at_once_and_tells_how_far_it_came() {
    let mut studio = Studio::new();
    studio.play(tone(5.0), 0).unwrap();
    studio.advance(1_000);
    let stopped = studio.audio.stop().unwrap();
    assert_eq!((stopped.owner, stopped.label.as_str()), (7, "piece 0"));
    assert_eq!(studio.audio.now(), None);
    studio.advance(500);
    let (_, why, position) = studio.ended(0);
    assert_eq!(why, EndReason::Stopped);
    assert_eq!(position, stopped.position);
    for result in [
        studio.audio.stop(),
        studio.audio.pause(),
        studio.audio.resume(),
    ] {
        assert_eq!(result.unwrap_err(), AudioError::NothingPlaying);
    }
    let spans = studio.finish().loud_spans(0.05, 0.05);
    assert_eq!(spans.len(), 1);
    near(
        "heard",
        spans[0].length_s(),
        stopped.position.as_secs_f64(),
        0.02,
    );
}

#[test]
fn no_fade_clicks() {
    let studio = Studio::new();
    studio.play(tone(5.0), 0).unwrap();
    studio.advance(333);
    studio.audio.pause().unwrap();
    studio.advance(100);
    studio.audio.resume().unwrap();
    studio.advance(333);
    studio.audio.set_volume(0.2).unwrap();
    studio.advance(333);
    studio.audio.set_volume(1.0).unwrap();
    studio.play(tone(1.0), 500).unwrap();
    studio.advance(100);
    studio.audio.stop().unwrap();
    studio.advance(100);
    let recording = studio.finish();
    // 440 Hz at half scale moves 0.031 from sample to sample at most; a click would be a jump of up to 0.5.
    let jump = recording
        .samples
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(0.0, f32::max);
    assert!(jump < 0.04, "{jump}");
}

#[test]
fn a_new_piece_replaces_the_old_one_and_both_get_their_answers() {
    let mut studio = Studio::new();
    let first = studio.audio.play(piece(tone(5.0), 0, 1));
    studio.answer(first).unwrap();
    studio.advance(500);
    let second = studio.audio.play(piece(wav(44_100, 1.0, |_| 0.25), 0, 2));
    studio.answer(second).unwrap();
    let (token, why, position) = studio.ended(0);
    assert_eq!((token, why), (1, EndReason::Replaced));
    assert!(position >= Duration::from_millis(500));
    assert_eq!(studio.audio.now().unwrap().token, 2);
    let (token, why, _) = studio.ended(3_000);
    assert_eq!((token, why), (2, EndReason::Finished));
}

#[test]
fn a_file_that_cannot_be_played_is_refused_and_the_music_goes_on() {
    let studio = Studio::new();
    let first = studio.audio.play(piece(tone(30.0), 0, 1));
    studio.answer(first).unwrap();
    for (what, bytes) in [
        (
            "text",
            b"this is no music at all, only a line of text".repeat(100),
        ),
        ("nothing", Vec::new()),
        ("a picture", media_bytes("logo.png")),
        ("a header only", studio::wav_header(44_100, 1, 0)),
        (
            "a tag only",
            b"ID3\x04\x00\x00\x00\x00\x00\x05abcde".to_vec(),
        ),
    ] {
        let error = studio.play(Cursor::new(bytes), 0).unwrap_err();
        assert!(
            matches!(error, AudioError::Unplayable(_)),
            "{what}: {error:?}"
        );
        assert_eq!(studio.audio.now().unwrap().token, 1, "{what}");
        println!("{what}: {error}");
    }
    let past_the_end = studio.play(tone(2.0), 2_500).unwrap_err();
    assert!(
        past_the_end.to_string().contains("ends before 2.5 s"),
        "{past_the_end}"
    );
    assert_eq!(studio.audio.now().unwrap().token, 1);
}

#[test]
fn a_truncated_file_plays_what_is_there_and_ends() {
    for (name, keep, seconds) in [
        ("tone.mp3", 0.5, 1.5),
        ("pips.flac", 0.5, 2.9),
        ("pips.ogg", 0.75, 5.5),
        ("truncated.mp3", 1.0, 2.0),
    ] {
        let mut bytes = media_bytes(name);
        bytes.truncate((bytes.len() as f64 * keep) as usize);
        let mut studio = Studio::new();
        studio.play(Cursor::new(bytes), 0).unwrap();
        let (_, why, position) = studio.ended(15_000);
        assert_eq!(why, EndReason::Finished, "{name}");
        near(name, position.as_secs_f64(), seconds, seconds * 0.2);
    }
    // The header promises 3 s: beyond what is there nothing can start.
    let studio = Studio::new();
    let error = studio.play(media("truncated.mp3"), 2_800).unwrap_err();
    assert!(error.to_string().contains("ends before 2.8 s"), "{error}");
}

#[test]
fn damaged_files_never_hang_or_take_the_station_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut studio = Studio::with("null".parse().unwrap(), folder, "".into());
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (mut played, mut refused, mut failed) = (0, 0, 0);
    for name in [
        "tone.mp3",
        "tone.wav",
        "tone.flac",
        "tone.ogg",
        "pips.flac",
        "pips-vbr.mp3",
    ] {
        let whole = media_bytes(name);
        for round in 0..12_u64 {
            let mut bytes = whole.clone();
            // From a few bytes anywhere to the container's header.
            let region = if round % 3 == 0 {
                bytes.len().min(300)
            } else {
                bytes.len()
            };
            for _ in 0..=(round * 3) {
                let at = next() as usize % region;
                bytes[at] = next() as u8;
            }
            let start_at_ms = if round % 4 == 3 { 700 } else { 0 };
            match studio.play(Cursor::new(bytes), start_at_ms) {
                Err(AudioError::Unplayable(_)) => refused += 1,
                Err(other) => panic!("{name} round {round}: {other}"),
                Ok(_) => {
                    // A damaged header may promise hours; a minute is enough.
                    for _ in 0..60 {
                        if studio.audio.now().is_none() {
                            break;
                        }
                        studio.advance(1_000);
                    }
                    let _ = studio.audio.stop();
                    match studio.ended(0).1 {
                        EndReason::Failed(_) => failed += 1,
                        _ => played += 1,
                    }
                }
            }
        }
    }
    println!("{played} played, {failed} failed on the way, {refused} refused");
    assert!(played > 0 && refused > 0);
    studio.play(tone(1.0), 0).unwrap();
    assert_eq!(
        studio.ended(2_000).1,
        EndReason::Finished,
        "the station still works"
    );
}

/// A disk that fails behind a certain byte.
struct BadDisk {
    bytes: Cursor<Vec<u8>>,
    good: u64,
}

impl Read for BadDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.good.saturating_sub(self.bytes.position());
        if left == 0 {
            return Err(io::Error::other("input/output error"));
        }
        let count = buffer.len().min(left as usize);
        self.bytes.read(&mut buffer[..count])
    }
}

impl Seek for BadDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[test]
fn a_read_error_on_the_way_plays_what_came_and_is_no_quiet_end() {
    let mut studio = Studio::new();
    let disk = BadDisk {
        bytes: tone(4.0),
        good: 44 + 2 * 88_200,
    };
    studio.play(disk, 0).unwrap();
    let (_, why, position) = studio.ended(5_000);
    assert!(
        matches!(&why, EndReason::Failed(reason) if reason.contains("input/output error")),
        "{why:?}"
    );
    near("heard", position.as_secs_f64(), 2.0, 0.2);
}

#[test]
fn a_decoder_that_panics_ends_only_its_piece() {
    struct Panics(Cursor<Vec<u8>>);
    impl Read for Panics {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(self.0.position() < 200_000, "a bug in a decoder");
            self.0.read(buffer)
        }
    }
    impl Seek for Panics {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }
    let mut studio = Studio::new();
    studio.play(Panics(tone(4.0)), 0).unwrap();
    let (_, why, position) = studio.ended(5_000);
    assert!(
        matches!(&why, EndReason::Failed(reason) if reason.contains("a bug in a decoder")),
        "{why:?}"
    );
    assert!(position > Duration::from_secs(1));
    studio.play(tone(1.0), 0).unwrap();
    assert_eq!(studio.ended(2_000).1, EndReason::Finished);
}

/// A disk that gives nothing until it is let.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn source(&self, bytes: Cursor<Vec<u8>>) -> Gated {
        Gated(self.clone(), bytes)
    }
}

struct Gated(Gate, Cursor<Vec<u8>>);

impl Read for Gated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let gate = &self.0.0;
        let open = gate.0.lock().unwrap();
        drop(gate.1.wait_while(open, |open| !*open).unwrap());
        self.1.read(buffer)
    }
}

impl Seek for Gated {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.1.seek(to)
    }
}

#[test]
fn commands_do_not_wait_for_a_slow_disk_and_reach_what_is_about_to_play() {
    let studio = Studio::new();
    let gate = Gate::default();

    let slow = studio.audio.play(piece(gate.source(tone(1.0)), 0, 1));
    let newer = studio.audio.play(piece(gate.source(tone(1.0)), 0, 2));
    assert_eq!(studio.answer(slow).unwrap_err(), AudioError::Superseded);
    assert_eq!(studio.audio.stop().unwrap().token, 2);
    assert_eq!(studio.answer(newer).unwrap_err(), AudioError::Stopped);
    assert_eq!(studio.audio.stop().unwrap_err(), AudioError::NothingPlaying);

    let paused = studio.audio.play(piece(gate.source(tone(1.0)), 0, 3));
    assert!(studio.audio.pause().unwrap().paused);
    gate.open();
    assert!(
        studio.answer(paused).unwrap().paused,
        "it is loaded, and answered"
    );
    studio.advance(300);
    assert_eq!(studio.audio.now().unwrap().position, Duration::ZERO);
    studio.audio.resume().unwrap();
    studio.advance(300);
    assert!(studio.audio.now().unwrap().position > Duration::from_millis(250));
    let spans = studio.finish().loud_spans(0.05, 0.05);
    assert_eq!(
        spans.len(),
        1,
        "the stopped ones were never heard: {spans:?}"
    );
}

#[test]
fn shutdown_answers_what_waits_is_no_event_of_the_piece_and_leaves_a_valid_capture() {
    let mut studio = Studio::new();
    studio.play(tone(10.0), 0).unwrap();
    studio.advance(1_500);
    let gate = Gate::default();
    let waiting = studio.audio.play(piece(gate.source(tone(1.0)), 0, 9));
    let begun = Instant::now();
    studio.audio.shutdown();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(
        waiting.blocking_recv().unwrap().unwrap_err(),
        AudioError::Closed
    );
    assert_eq!(
        studio.events.blocking_recv(),
        None,
        "the events end without an Ended"
    );
    let recording = Recording::read_wav(&studio.capture).unwrap();
    assert!(recording.length_s() >= 1.5);
    let late = studio.audio.play(piece(tone(1.0), 0, 10));
    assert_eq!(
        late.blocking_recv().unwrap().unwrap_err(),
        AudioError::Closed
    );
    assert_eq!(
        studio.audio.pause().unwrap_err(),
        AudioError::NothingPlaying
    );
    studio.audio.shutdown();
    gate.open();
}

#[test]
fn dropping_the_last_handle_ends_the_station() {
    let Studio {
        audio,
        mut events,
        capture,
        clock,
        folder: _folder,
        ..
    } = Studio::new();
    let clone = audio.clone();
    drop(audio);
    assert!(clock.advance(Duration::from_millis(200)));
    drop(clone);
    assert_eq!(events.blocking_recv(), None);
    // The thread ends on its own time; the file is whole when its length is.
    let begun = Instant::now();
    loop {
        if let Ok(recording) = Recording::read_wav(&capture)
            && recording.length_s() >= 0.2
        {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::yield_now();
    }
}

#[test]
fn a_capture_is_a_valid_file_all_the_time_and_never_more_than_a_second_behind() {
    let studio = Studio::new();
    studio.play(tone(30.0), 0).unwrap();
    let mut clock_s = 0.0;
    for _ in 0..20 {
        studio.advance(370);
        clock_s += 0.37;
        let length = Recording::read_wav(&studio.capture).unwrap().length_s();
        assert!(
            length > clock_s - 1.03,
            "{length} s are on disk at {clock_s} s"
        );
    }
}

#[test]
fn a_missing_output_refuses_plays_in_plain_words_until_it_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("not-yet");
    let capture = place.join("capture.wav");
    let settings: AudioSettings = format!("wav:{}", capture.display()).parse().unwrap();
    let (audio, mut events) = Audio::start(settings);
    let error = audio
        .play(piece(tone(0.3), 0, 1))
        .blocking_recv()
        .unwrap()
        .unwrap_err();
    assert!(matches!(&error, AudioError::NoDevice(_)), "{error:?}");
    assert!(
        error
            .to_string()
            .starts_with("no audio device: the capture file"),
        "{error}"
    );
    assert_eq!(audio.stop().unwrap_err(), AudioError::NothingPlaying);
    audio.set_volume(0.5).unwrap();
    std::fs::create_dir(&place).unwrap();
    audio
        .play(piece(tone(0.3), 0, 2))
        .blocking_recv()
        .unwrap()
        .unwrap();
    let AudioEvent::Ended { token, why, .. } = events.blocking_recv().unwrap() else {
        panic!("another event");
    };
    assert_eq!((token, why), (2, EndReason::Finished));
    audio.shutdown();
    let spans = Recording::read_wav(&capture)
        .unwrap()
        .loud_spans(0.05, 0.05);
    near(
        "heard with the machine's clock",
        spans[0].length_s(),
        0.3,
        0.02,
    );
    near(
        "at the volume set before",
        spans[0].level,
        TONE_LEVEL / 2.0,
        0.005,
    );
}

#[test]
fn an_output_that_takes_nothing_counts_as_missing() {
    // Its clock stands, so it never takes a sample.
    let clock = Arc::new(ManualClock::new());
    let (audio, mut events) = Audio::start_with_clock("null".parse().unwrap(), clock);
    let begun = Instant::now();
    let answer = audio.play(piece(tone(1.0), 0, 1)).blocking_recv().unwrap();
    assert_eq!(
        answer.unwrap_err(),
        AudioError::NoDevice("it takes no sound".to_owned())
    );
    assert!(
        begun.elapsed() < Duration::from_secs(6),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(audio.now(), None);
    audio.shutdown();
    assert_eq!(
        events.blocking_recv(),
        None,
        "it never began, so it never ended"
    );
}

#[test]
fn a_full_disk_ends_the_piece_with_the_reason_and_the_station_goes_on() {
    let (audio, mut events) = Audio::start("wav:/dev/full".parse().unwrap());
    let answer = audio.play(piece(tone(10.0), 0, 1)).blocking_recv().unwrap();
    match answer {
        Err(AudioError::NoDevice(reason)) => assert!(reason.contains("/dev/full"), "{reason}"),
        Err(other) => panic!("{other}"),
        Ok(_) => {
            let Some(AudioEvent::Ended {
                why: EndReason::DeviceLost(reason),
                ..
            }) = events.blocking_recv()
            else {
                panic!("no failure");
            };
            assert!(reason.contains("/dev/full"), "{reason}");
        }
    }
    assert_eq!(audio.now(), None);
    audio.shutdown();
}
