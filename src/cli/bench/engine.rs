//! Runs the load: generator threads through warm-up, window and drain, while the caller's thread watches the processes.

use super::error::BenchError;
use super::timing::Window;
use super::usage::Watch;
use super::wire::{Wire, Work};

/// Without any answer for so long, a run with requests under way ends.
const SILENCE_SECONDS: u64 = 10;
const SILENCE_NANOS: u64 = SILENCE_SECONDS * 1_000_000_000;
/// How long the last answers are waited for.
const DRAIN_NANOS: u64 = 5_000_000_000;

/// One generator thread: its connections and what they are for.
pub struct Engine<W> {
    pub wire: Wire,
    pub work: W,
}

impl<W: Work> Engine<W> {
    /// Keeps the load up until the window ends or the work is over, then waits for what is under way.
    ///
    /// # Errors
    /// When a connection ends or the broker falls silent.
    pub fn run(mut self, window: Window) -> Result<W, BenchError> {
        self.wire.pump(&mut self.work)?;
        let mut heard = self.wire.clock.now();
        loop {
            let answers = self.wire.turn(&mut self.work)?;
            if self.wire.is_paced() {
                self.wire.pump(&mut self.work)?;
            }
            let now = self.wire.clock.now();
            if answers > 0 || self.work.under_way() == 0 {
                heard = now;
            }
            if now - heard > SILENCE_NANOS {
                return Err(self.silent());
            }
            if now >= window.end || self.work.is_over() {
                break;
            }
        }
        self.work.close();
        let last_call = self.wire.clock.now() + DRAIN_NANOS;
        while self.work.under_way() > 0 && self.wire.clock.now() < last_call {
            self.wire.turn(&mut self.work)?;
        }
        Ok(self.work)
    }

    fn silent(&self) -> BenchError {
        BenchError::Silent {
            address: self.wire.address().to_owned(),
            seconds: SILENCE_SECONDS,
            waited_for: format!("{} requests were under way", self.work.under_way()),
        }
    }
}

/// Runs one thread per engine and watches what they cost.
///
/// # Errors
/// The first error of any thread.
pub fn drive<W: Work + Send>(engines: Vec<Engine<W>>, window: Window, watch: &mut Watch) -> Result<Vec<W>, BenchError> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = engines.into_iter().map(|engine| scope.spawn(move || engine.run(window))).collect();
        let watched = watch.observe(window, || threads.iter().any(|thread| thread.is_finished()));
        let works = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Result<Vec<W>, BenchError>>()?;
        watched.map(|()| works)
    })
}
