//! `cargo xtask fuzz [TARGET] [--seconds N]`: libFuzzer on each parser of outside bytes (`tests/fuzz`).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::packages;
use crate::run::{cargo, cargo_tool, root, say, succeed};

/// How long each target runs where nobody says.
const SECONDS: u64 = 30;
/// Memory that one input may take, MiB, and in one piece; a page of the largest scan is 256 MiB.
const MEMORY_MIB: u32 = 2048;
const PIECE_MIB: u32 = 512;
/// Time that one input may take, seconds.
const INPUT_SECONDS: u32 = 20;
/// Longest input, bytes: a packet of a private socket, and a little more.
const INPUT_BYTES: u32 = 70_000;
/// libFuzzer is C++.
const FUZZ: &[&str] = &["g++"];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let wanted = Wanted::parse(arguments)?;
    packages::install(&[packages::SERVICES, FUZZ])?;
    cargo_tool("cargo-fuzz", "0.13.2")?;
    let target_dir =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let target_dir = target_dir.join("fuzz");
    let fuzzer = build(&target_dir)?;
    let mut outcomes = Vec::new();
    for target in &wanted.targets {
        outcomes.push(drive(&fuzzer, target, wanted.seconds, &target_dir)?);
    }
    for outcome in &outcomes {
        say(&outcome.line());
    }
    let executions: u64 = outcomes.iter().map(|outcome| outcome.executions).sum();
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let failed: Vec<&str> = outcomes
        .iter()
        .filter(|outcome| outcome.exit != 0)
        .map(|outcome| outcome.target.as_str())
        .collect();
    say(&format!(
        "{} targets, {seconds:.0} s, {executions} executions, {} failed",
        outcomes.len(),
        failed.len()
    ));
    ensure!(
        failed.is_empty(),
        "{} found something; the inputs are named above",
        failed.join(", ")
    );
    Ok(())
}

struct Wanted {
    targets: Vec<String>,
    seconds: u64,
}

impl Wanted {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let known = targets()?;
        let (mut chosen, mut seconds) = (Vec::new(), SECONDS);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_str() {
                "--seconds" => {
                    let number = rest.next().context("--seconds takes a number")?;
                    seconds = number.parse().context("--seconds takes a number")?;
                }
                name if known.iter().any(|target| target == name) => chosen.push(name.to_owned()),
                name => bail!("there is no target {name}; there are {}", known.join(", ")),
            }
        }
        ensure!(seconds > 0, "--seconds takes a number above 0");
        let targets = if chosen.is_empty() { known } else { chosen };
        Ok(Self { targets, seconds })
    }
}

/// Each target has a folder of seeds; a test sees to it.
fn targets() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/fuzz/corpus")).context("tests/fuzz/corpus")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds the one program of all targets, with `AddressSanitizer`. The sanitizer's flags are those of an unstable
/// compiler; the stable one takes them when it is told that it builds itself.
fn build(target_dir: &Path) -> anyhow::Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = cargo(&[
        "fuzz",
        "build",
        "--fuzz-dir",
        "tests/fuzz",
        "--features",
        "libfuzzer",
    ]);
    build.args(["--target", &triple, "--target-dir"]);
    build.arg(target_dir).arg("fuzz");
    // Linking in one piece takes longer than most runs.
    build
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off");
    succeed(&mut build)?;
    Ok(target_dir.join(triple).join("release/fuzz"))
}

/// What came of one target.
struct Outcome {
    target: String,
    seconds: f64,
    executions: u64,
    peak_mib: u64,
    exit: i32,
    artifact: Option<String>,
}

impl Outcome {
    fn line(&self) -> String {
        let Self {
            target,
            seconds,
            executions,
            peak_mib,
            exit,
            artifact,
        } = self;
        let found = artifact
            .as_ref()
            .map_or_else(String::new, |path| format!("  {path}"));
        format!(
            "{target:18} {seconds:7.1} s  {executions:10} executions  {peak_mib:5} MiB  exit {exit}{found}"
        )
    }
}

/// Runs one target at low priority; what it says at its end is counted, what it says meanwhile is not shown.
fn drive(fuzzer: &Path, target: &str, seconds: u64, target_dir: &Path) -> anyhow::Result<Outcome> {
    let grown = target_dir.join("corpus").join(target);
    let artifacts = target_dir.join("artifacts").join(target);
    for dir in [&grown, &artifacts] {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(fuzzer).args([
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY_MIB}"),
        format!("-malloc_limit_mb={PIECE_MIB}"),
        format!("-timeout={INPUT_SECONDS}"),
        format!("-max_len={INPUT_BYTES}"),
        format!("-artifact_prefix={}/", artifacts.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    command
        .arg(&grown)
        .arg(root().join("tests/fuzz/corpus").join(target));
    command
        .env("RECUEIL_FUZZ_TARGET", target)
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    say(&format!("{target}, {seconds} s"));
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("{} cannot be started", fuzzer.display()))?;
    let said = BufReader::new(child.stderr.take().context("no output")?);
    let (mut executions, mut peak_mib, mut last, mut artifact) = (0, 0, 0, None);
    let mut tail = std::collections::VecDeque::new();
    for line in said.split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let number = |prefix: &str| line.strip_prefix(prefix)?.trim().parse::<u64>().ok();
        executions = number("stat::number_of_executed_units:").unwrap_or(executions);
        peak_mib = number("stat::peak_rss_mb:").unwrap_or(peak_mib);
        // Where it ends badly, the last status counts: `#1234 NEW cov: …`.
        last = line
            .strip_prefix('#')
            .and_then(|rest| rest.split_whitespace().next()?.trim_end_matches(':').parse().ok())
            .unwrap_or(last);
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            artifact = Some(path.to_owned());
        }
        tail.push_back(line);
        if tail.len() > 60 {
            tail.pop_front();
        }
    }
    let status = child.wait()?;
    if !status.success() {
        for line in &tail {
            say(line);
        }
    }
    Ok(Outcome {
        target: target.to_owned(),
        seconds: started.elapsed().as_secs_f64(),
        executions: if executions == 0 { last } else { executions },
        peak_mib,
        exit: status.code().unwrap_or(-1),
        artifact,
    })
}
