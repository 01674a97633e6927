//! Progress of the builds of a start: one line for each, on standard error.
//!
//! On a terminal the lines are drawn again each second; elsewhere each is written every half
//! minute.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinHandle;

/// A build that ends before this shows no line.
const SILENCE: Duration = Duration::from_secs(2);

/// Builds that have shown a line, or may.
static BUILDS: Mutex<Vec<Arc<Build>>> = Mutex::new(Vec::new());

/// The number of lines that are drawn at the end of the terminal.
static DRAWN: Mutex<usize> = Mutex::new(0);

struct Build {
    what: &'static str,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    /// So many crates of so many are built; nothing is known at first.
    Running(u32, u32),
    Finished(Duration, bool),
}

/// The line of a build. It is removed when this is dropped.
pub struct Progress {
    build: Arc<Build>,
    drawing: JoinHandle<()>,
}

impl Progress {
    /// Begins a line for the build of `what`.
    pub fn start(what: &'static str) -> Self {
        let build = Arc::new(Build {
            what,
            start: Instant::now(),
            state: Mutex::new(State::Running(0, 0)),
        });
        BUILDS.lock().push(Arc::clone(&build));
        let shown = Arc::clone(&build);
        let drawing = tokio::spawn(async move {
            let is_terminal = std::io::stderr().is_terminal();
            let pause = Duration::from_secs(if is_terminal { 1 } else { 30 });
            tokio::time::sleep(SILENCE).await;
            loop {
                if is_terminal {
                    draw()
                } else {
                    eprintln!("{}", shown.line())
                }
                tokio::time::sleep(pause).await;
            }
        });
        Self { build, drawing }
    }

    /// Notes that `done` of `total` crates are built.
    pub fn set(&self, done: u32, total: u32) {
        *self.build.state.lock() = State::Running(done, total);
    }

    /// Notes the end of the build.
    pub fn finish(&self, is_built: bool) {
        let elapsed = self.build.start.elapsed();
        *self.build.state.lock() = State::Finished(elapsed, is_built);
        if elapsed > SILENCE {
            if std::io::stderr().is_terminal() {
                draw()
            } else {
                eprintln!("{}", self.build.line())
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.drawing.abort();
        let mut builds = BUILDS.lock();
        let is_running = |build: &Arc<Build>| matches!(*build.state.lock(), State::Running(..));
        if Arc::strong_count(&self.build) > 0 && is_running(&self.build) {
            builds.retain(|build| !Arc::ptr_eq(build, &self.build));
        }
        // The lines stay as they are when the last build has ended.
        if !builds.iter().any(is_running) {
            builds.clear();
            *DRAWN.lock() = 0;
        }
    }
}

/// Draws all lines over those that were drawn before.
fn draw() {
    let lines: Vec<String> = BUILDS.lock().iter().map(|build| build.line()).collect();
    let mut drawn = DRAWN.lock();
    let mut text = match *drawn {
        0 => String::new(),
        lines => format!("\u{1b}[{lines}A"),
    };
    for line in &lines {
        text += &format!("\r{line}\u{1b}[K\n");
    }
    *drawn = lines.len();
    // A closed terminal must not end the program.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

impl Build {
    fn line(&self) -> String {
        line(self.what, self.start.elapsed(), *self.state.lock())
    }
}

fn line(what: &str, elapsed: Duration, state: State) -> String {
    match state {
        State::Running(0, _) => format!("{what}: building, {} elapsed", minutes(elapsed)),
        State::Running(done, total) => {
            let left = elapsed.mul_f64(f64::from(total.saturating_sub(done)) / f64::from(done));
            format!(
                "{what}: {done} of {total} crates built, {} elapsed, about {} left",
                minutes(elapsed),
                minutes(left)
            )
        }
        State::Finished(took, true) => format!("{what}: built in {}", minutes(took)),
        State::Finished(took, false) => format!("{what}: failed after {}", minutes(took)),
    }
}

/// Formats a duration: `1:05` for 65 seconds.
fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_time_that_is_left() {
        let elapsed = Duration::from_secs(65);
        for (state, expected) in [
            (State::Running(0, 0), "functions: building, 1:05 elapsed"),
            (
                State::Running(100, 300),
                "functions: 100 of 300 crates built, 1:05 elapsed, about 2:10 left",
            ),
            (State::Finished(elapsed, true), "functions: built in 1:05"),
        ] {
            assert_eq!(line("functions", elapsed, state), expected);
        }
    }
}
