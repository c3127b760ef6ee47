//! `crash [--seeds N] [--first SEED] [--kill] [--without GUARD] [--jobs N]`: runs seeds and tells what they met.
//! Ends with 1 at the first finding, with 2 where the runs did not meet what they are to meet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test's own program"
)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crash::{Ending, Plan, Tally, run};

struct Options {
    seeds: u64,
    first: u64,
    lives: u64,
    jobs: u64,
    ending: Ending,
    without: Option<String>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        seeds: 100,
        first: 1,
        lives: 3,
        jobs: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
        ending: Ending::PowerCut,
        without: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is no number"));
        match word.as_str() {
            "--seeds" => options.seeds = number(value()?)?,
            "--first" => options.first = number(value()?)?,
            "--lives" => options.lives = number(value()?)?,
            "--jobs" => options.jobs = number(value()?)?,
            "--kill" => options.ending = Ending::Kill,
            "--without" => options.without = Some(value()?),
            _ => {
                return Err(format!(
                    "{word:?} is not known; expected --seeds N, --first N, --lives N, --jobs N, --kill, --without GUARD"
                ));
            }
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(words) => {
            eprintln!("crash: {words}");
            return ExitCode::from(64);
        }
    };
    let begun = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= options.seeds {
                        return;
                    }
                    let plan = Plan {
                        seed: options.first + number,
                        ending: options.ending,
                        lives: options.lives,
                        without: options.without.clone(),
                        failing_disks: true,
                    };
                    match run(&plan) {
                        Ok(met) => *tally.lock().unwrap() += met,
                        Err(finding) => {
                            stop.store(true, Ordering::Relaxed);
                            let kill = match plan.ending {
                                Ending::Kill => " --kill",
                                Ending::PowerCut => "",
                            };
                            println!(
                                "seed {} FAILED (again with: make crash ARGS=\"--first {} --seeds 1 --lives {}{kill}\"; the timing is not the seed's, try some times)\n{finding}",
                                plan.seed, plan.seed, plan.lives
                            );
                        }
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    print!("{tally}");
    println!("{:>9.0}  seconds", begun.elapsed().as_secs_f64());
    if stop.load(Ordering::Relaxed) {
        return ExitCode::from(1);
    }
    if options.ending == Ending::Kill {
        match crash::state_file::run(options.seeds * options.lives, options.first) {
            Ok(met) => println!(
                "{:>9}  clients with a state file killed\n{:>9}  daemons killed with them\n{:>9}  lines told to be on disk\n{:>9}  lines that a later client brought to their end",
                met.clients, met.daemons, met.told, met.gone_on
            ),
            Err(finding) => {
                println!("clients with a state file FAILED: {finding}");
                return ExitCode::from(1);
            }
        }
    }
    println!("        0  losses\n        0  doubles");
    let missing = tally.missing();
    if options.ending == Ending::PowerCut && !missing.is_empty() {
        println!(
            "this proves too little, it never met: {}",
            missing.join(", ")
        );
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
