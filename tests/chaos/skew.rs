//! Wrong clocks: the functions as scripts that give each process another clock.
//!
//! The clock comes from the library libfaketime, which a script loads into the function that it
//! executes. The monotonic clock stays right, as on a machine whose time is set wrong.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use ::tests::{programs, tools};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;

/// Offsets of clocks, in the form of libfaketime; the empty one is right.
const SKEWS: [&str; 5] = ["-90s", "-2s", "", "+2s", "+90s"];

/// Number of processes after which the sequence of clocks repeats.
const DRAWS: usize = 64;

/// Functions whose processes get clocks.
const SKEWED: [&str; 6] = [
    "connect",
    "conversations",
    "deliver",
    "disconnect",
    "history",
    "send-message",
];

/// Functions whose clocks stay right: their behavior does not depend on those of others.
const PLAIN: [&str; 4] = ["authorizer", "migrate", "page", "retention"];

/// The functions of a run.
pub struct Binaries {
    /// The folder of the functions, for the gateway.
    pub folder: PathBuf,
    /// A file with a line for each process that has been started: its id and its clock.
    started: PathBuf,
    /// Whether clocks are wrong.
    pub are_skewed: bool,
}

impl Binaries {
    /// Prepares the functions in `folder`; the seed chooses the clocks. If libfaketime is missing
    /// or does not work, clocks stay right.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn prepare(folder: &Path, seed: u64) -> Result<Self> {
        let library = tools::faketime().filter(|library| works(library));
        let binaries = Self {
            folder: folder.join("binaries"),
            started: folder.join("started"),
            are_skewed: library.is_some(),
        };
        fs::create_dir_all(&binaries.folder)?;
        fs::write(&binaries.started, "")?;
        for program in PLAIN {
            binaries.link(program)?;
        }
        let mut dice = Rng::with_seed(seed);
        for program in SKEWED {
            match &library {
                Some(library) => binaries.write_script(program, library, &mut dice)?,
                None => binaries.link(program)?,
            }
        }
        Ok(binaries)
    }

    fn link(&self, program: &str) -> Result<()> {
        let link = symlink(programs::folder().join(program), self.folder.join(program));
        link.with_context(|| format!("cannot link {program}"))
    }

    fn write_script(&self, program: &str, library: &Path, dice: &mut Rng) -> Result<()> {
        let draw = |_| format!("'{}'", SKEWS[dice.usize(..SKEWS.len())]);
        let skews: Vec<String> = (0..DRAWS).map(draw).collect();
        let script = format!(
            r#"#!/bin/sh
set -- {skews}
shift $(($(wc -l < '{started}') % $#))
echo "$$ ${{1:-0s}}" >> '{started}'
if [ -n "$1" ]; then
    export LD_PRELOAD='{library}' FAKETIME="$1" FAKETIME_DONT_FAKE_MONOTONIC=1
fi
exec '{program}'
"#,
            skews = skews.join(" "),
            started = self.started.display(),
            library = library.display(),
            program = programs::folder().join(program).display(),
        );
        let path = self.folder.join(program);
        fs::write(&path, script)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Counts the processes that have been started, by their clocks; empty if all clocks are right.
    ///
    /// # Errors
    ///
    /// A line of the list is broken.
    pub fn started(&self) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        for (_, skew) in self.lines()? {
            *counts.entry(skew).or_default() += 1;
        }
        Ok(counts)
    }

    /// Removes the shared memory that libfaketime leaves when its process is killed.
    ///
    /// # Errors
    ///
    /// A line of the list is broken.
    pub fn clean(&self) -> Result<()> {
        for (id, _) in self.lines()? {
            for name in [
                format!("sem.faketime_sem_{id}"),
                format!("faketime_shm_{id}"),
            ] {
                // Processes that exit by themselves remove it.
                let _ = fs::remove_file(Path::new("/dev/shm").join(name));
            }
        }
        Ok(())
    }

    /// Reads the process id and the clock of each process.
    fn lines(&self) -> Result<Vec<(u32, String)>> {
        let text = fs::read_to_string(&self.started)?;
        let line = |line: &str| {
            let (id, skew) = line.split_once(' ').context("an id and a clock")?;
            ensure!(!skew.is_empty(), "{line} has no clock");
            Ok((id.parse()?, skew.to_owned()))
        };
        text.lines().map(line).collect()
    }
}

/// Whether a program that loads the library has another clock.
fn works(library: &Path) -> bool {
    let ahead = Command::new("date")
        .arg("+%s")
        .env("LD_PRELOAD", library)
        .env("FAKETIME", "+1000s")
        .output();
    let seconds = |bytes: Vec<u8>| String::from_utf8(bytes).ok()?.trim().parse::<u64>().ok();
    let printed = ahead.ok().and_then(|output| seconds(output.stdout));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is after 1970").as_secs();
    printed.is_some_and(|printed| (now + 900..now + 1_100).contains(&printed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a script with `date` in place of the function; returns the output.
    fn clocks(folder: &Path, program: &str, count: usize) -> Vec<String> {
        let script = fs::read_to_string(folder.join("binaries").join(program)).expect("written");
        let (script, _) = script.split_once("exec ").expect("it ends with exec");
        let script = format!("{script}\n/bin/date +%s");
        let run = |_| {
            let output = Command::new("/bin/sh").args(["-c", &script]).output();
            String::from_utf8(output.expect("it runs").stdout).expect("a number")
        };
        (0..count).map(run).collect()
    }

    #[test]
    fn each_process_gets_its_own_clock() {
        let folder = ::tests::server::scratch_folder().join("skew");
        let binaries = Binaries::prepare(&folder, 7).expect("prepared");
        let is_made_for = cfg!(all(target_os = "linux", target_arch = "x86_64"));
        assert_eq!(binaries.are_skewed, is_made_for);
        if !is_made_for {
            return;
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let off = clocks(&folder, "send-message", 40)
            .into_iter()
            .map(|printed| {
                let printed: i64 = printed.trim().parse().expect("a number");
                let off = printed - now.as_secs() as i64;
                // The test itself takes some seconds.
                [-90, 0, 90]
                    .into_iter()
                    .min_by_key(|skew| (off - skew).abs())
            });
        let off: std::collections::BTreeSet<_> = off.collect();
        assert_eq!(off, [Some(-90), Some(0), Some(90)].into());
        let started = binaries.started().expect("a list");
        assert_eq!(started.values().sum::<usize>(), 40);
        assert!(started.len() >= 4, "{started:?}");
        binaries.clean().expect("cleaned");
        fs::remove_dir_all(&folder).expect("removed");
    }
}
