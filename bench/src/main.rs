//! Benchmarks of `pixelboyd`, each beside a floor that is measured in the same run; `bench/README.md` says how.
//! Invariant: what is compared runs on the same machine, at the same CPUs, in alternating rounds.
//! Not here: tests; nothing fails because a machine is slow.
//! A daemon that does not start or answers wrongly ends the run with one sentence.

// How it is measured.
mod cpu;
mod daemon;
mod floor;
mod machine;
mod process;
mod ratio;
mod redis;
mod report;

// How both sides are talked to.
mod crowd;
mod link;
mod talk;

// What is measured, a file for each.
mod append;
mod idle;
mod request;
mod slow;
mod start;
mod upload;
mod wear;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Whatever ends a run, as one sentence.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Measures pixelboyd beside bare floors and prints one table.
#[derive(Debug, Parser)]
#[command(name = "pixelboy-bench")]
struct Args {
    /// The daemon; without it `$PIXELBOYD`, else the one that lies beside this program.
    #[arg(long, value_name = "FILE")]
    pixelboyd: Option<PathBuf>,

    /// The folder of the three plugins' .wasm files.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../plugins"))]
    plugins: PathBuf,

    /// The built bench/echo-plugin.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.build/bench/echo.wasm"))]
    echo: PathBuf,

    /// Where data is stored meanwhile; its disk is the one that is measured.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.build/bench"))]
    folder: PathBuf,

    /// The daemon's `--audio`.
    #[arg(long, value_name = "NAME", default_value = "default")]
    audio: String,

    /// Only these; all of them when absent.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    only: Vec<What>,

    /// Alternating rounds of the request benchmarks.
    #[arg(long, value_name = "N", default_value_t = 31)]
    rounds: usize,

    /// Alternating rounds of the append benchmarks.
    #[arg(long, value_name = "N", default_value_t = 21)]
    append_rounds: usize,

    /// Seconds of idleness.
    #[arg(long, value_name = "S", default_value_t = 10)]
    idle_s: u64,

    /// MiB of the uploads.
    #[arg(
        long,
        value_name = "MIB",
        value_delimiter = ',',
        default_value = "64,1024"
    )]
    upload_mib: Vec<u64>,

    /// The table also as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(subcommand)]
    role: Option<Role>,
}

/// The benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Requests through a plugin and without one.
    Request,
    /// From the start to the first answer.
    Start,
    /// CPU time and memory while nothing happens.
    Idle,
    /// A large upload.
    Upload,
    /// Durable appends beside SQLite and Redis.
    Append,
    /// What others feel of slow syncs.
    Slow,
    /// Bytes written for an append.
    Wear,
}

/// What this program is when it starts itself.
#[derive(Clone, Debug, Subcommand)]
enum Role {
    /// Keeps a running pixelboyd busy with one opcode, for a profiler to look at.
    Drive(request::Drive),
    /// The bare servers; prints its address, ends with its standard input.
    #[command(hide = true)]
    Floor(floor::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.role {
        Some(Role::Drive(drive)) => request::drive(drive),
        Some(Role::Floor(floor)) => floor::run(floor),
        None => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("pixelboy-bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Fault> {
    let kit = daemon::Kit::find(args)?;
    let wanted = |what| args.only.is_empty() || args.only.contains(&what);
    let mut report = report::Report::new(machine::Machine::look());
    report.machine.print();
    if wanted(What::Request) {
        eprintln!("requests ...");
        request::measure(&kit, args.rounds, &mut report)?;
    }
    if wanted(What::Start) {
        eprintln!("starts ...");
        start::measure(&kit, &mut report)?;
    }
    if wanted(What::Idle) {
        eprintln!("idleness, which takes a while ...");
        idle::measure(&kit, args.idle_s, &mut report)?;
    }
    if wanted(What::Upload) {
        eprintln!("uploads ...");
        for mib in &args.upload_mib {
            upload::measure(&kit, *mib, &mut report)?;
        }
    }
    if wanted(What::Append) {
        eprintln!("appends ...");
        append::measure(&kit, args.append_rounds, &mut report)?;
    }
    if wanted(What::Slow) {
        eprintln!("slow syncs ...");
        slow::measure(&kit, &mut report)?;
    }
    if wanted(What::Wear) {
        eprintln!("bytes written ...");
        wear::measure(&kit, &mut report)?;
    }
    report.print();
    match &args.json {
        Some(file) => report.write_json(file),
        None => Ok(()),
    }
}
