//! Power cuts and kills, few enough for every run of the tests; `make crash` and `make crash-kill` have more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crash::{Ending, Plan, Tally, run};

/// Runs seeds on two threads until `enough` says so; the counts, or the first finding.
fn runs(
    plan: &Plan,
    seeds: u64,
    enough: impl Fn(&Tally, Duration) -> bool + Sync,
) -> Result<Tally, String> {
    let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let result = Mutex::new(Ok(Tally::default()));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= seeds || over.load(Ordering::Relaxed) {
                        return;
                    }
                    let plan = Plan {
                        seed: plan.seed + number,
                        ..plan.clone()
                    };
                    let met = run(&plan);
                    let mut result = result.lock().unwrap();
                    match (met, &mut *result) {
                        (Ok(met), Ok(tally)) => {
                            *tally += met;
                            if enough(tally, begun.elapsed()) {
                                over.store(true, Ordering::Relaxed);
                            }
                        }
                        (Err(finding), before) => {
                            *before = Err(format!("seed {}: {finding}", plan.seed));
                            over.store(true, Ordering::Relaxed);
                        }
                        (Ok(_), Err(_)) => {}
                    }
                }
            });
        }
    });
    result.into_inner().unwrap()
}

/// Uploads take their time; few runs have one that rests.
fn met_all(tally: &Tally) -> bool {
    missing(tally).is_empty()
}

/// What never happened, but for what these plans leave out.
fn missing(tally: &Tally) -> Vec<&str> {
    let mut missing = tally.missing();
    missing.retain(|what| *what != "lives on a failing disk");
    missing
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_runs_twice_when_the_power_is_cut() {
    let plan = Plan {
        seed: 1,
        ending: Ending::PowerCut,
        lives: 3,
        without: None,
        failing_disks: false,
    };
    // A slow machine does fewer, but not before it met everything.
    let enough = |tally: &Tally, time: Duration| {
        met_all(tally) && tally.seeds >= 20 && time > Duration::from_secs(100)
    };
    match runs(&plan, 250, enough) {
        Ok(tally) => {
            println!("{tally}");
            assert_eq!(missing(&tally), Vec::<&str>::new(), "was never met");
        }
        Err(finding) => panic!("{finding}"),
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_runs_twice_when_the_daemon_is_killed() {
    let plan = Plan {
        seed: 1,
        ending: Ending::Kill,
        lives: 5,
        without: None,
        failing_disks: false,
    };
    match runs(&plan, 2, |_, _| false) {
        Ok(tally) => assert_eq!(tally.cuts, 10),
        Err(finding) => panic!("{finding}"),
    }
}

#[test]
fn a_client_with_a_state_file_goes_on_after_it_was_killed_and_the_daemon_with_it() {
    let met = crash::state_file::run(40, 1).unwrap_or_else(|finding| panic!("{finding}"));
    println!("{met:?}");
    assert!(met.told > 0, "every client was killed too early");
}

/// The proof can fail: without any one of the guards the same runs find what it guards against.
#[test]
fn each_guard_that_is_taken_out_is_missed() {
    for guard in [
        "data-sync",
        "record-sync",
        "folder-sync",
        "record",
        "order",
        "seen",
    ] {
        let plan = Plan {
            seed: 1,
            ending: Ending::PowerCut,
            lives: 3,
            without: Some(guard.to_owned()),
            failing_disks: false,
        };
        let found = runs(&plan, 100, |_, _| false);
        let finding = found.expect_err(&format!(
            "nothing was found without {guard}; was pixelboyd built with the tests (cargo build --workspace)?"
        ));
        println!(
            "without {guard}: {}",
            finding.lines().next().unwrap_or_default()
        );
    }
}

/// What is released has no such switches.
#[test]
fn a_release_has_no_switch_for_its_guards() {
    let release = harness::daemon::profile_folder().join("../release/pixelboyd");
    let has_it = |program: &std::path::Path| {
        let bytes = std::fs::read(program).unwrap();
        let has = |word: &[u8]| bytes.windows(word.len()).any(|found| found == word);
        has(b"PIXELBOY_WITHOUT") || has(b"PIXELBOY_FOLD_AFTER")
    };
    assert!(
        has_it(&harness::daemon::profile_folder().join("pixelboyd")),
        "the daemon under test was built without the tests' switches: cargo build --workspace"
    );
    // Built by `make build`; where it is not there, there is nothing to look at.
    if release.exists() {
        assert!(!has_it(&release), "{} has the switch", release.display());
    }
}
