//! Runs cases beside each other, each with a limit and a line of its own.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use crate::World;

const AT_ONCE: usize = 4;
const CASE_LIMIT: Duration = Duration::from_secs(300);

type Run = Box<dyn FnOnce(Arc<World>) -> Pin<Box<dyn Future<Output = ()>>>>;

pub struct Cases {
    suite: String,
    only: String,
    together: Vec<(&'static str, Run)>,
    alone: Vec<(&'static str, Run)>,
}

impl Cases {
    /// Cases whose name lacks `only` are left out.
    pub fn new(suite: String, only: String) -> Self {
        Self { suite, only, together: Vec::new(), alone: Vec::new() }
    }

    pub fn add<F: Future<Output = ()> + 'static>(&mut self, name: &'static str, run: fn(Arc<World>) -> F) {
        if name.contains(&self.only) {
            self.together.push((name, Box::new(move |world| Box::pin(run(world)))));
        }
    }

    /// One that changes settings of the servers.
    pub fn add_alone<F: Future<Output = ()> + 'static>(&mut self, name: &'static str, run: fn(Arc<World>) -> F) {
        if name.contains(&self.only) {
            self.alone.push((name, Box::new(move |world| Box::pin(run(world)))));
        }
    }

    /// Whether all passed. Needs a `LocalSet` around it.
    pub async fn run(self, world: Arc<World>) -> bool {
        let mut passed = true;
        for (cases, at_once) in [(self.together, AT_ONCE), (self.alone, 1)] {
            let results = stream::iter(cases).map(|case| run(&self.suite, case, Arc::clone(&world)));
            passed &= results.buffer_unordered(at_once).fold(true, |all, passed| async move { all && passed }).await;
        }
        passed
    }
}

async fn run(suite: &str, (name, run): (&'static str, Run), world: Arc<World>) -> bool {
    let begun = Instant::now();
    // A task of its own, so that a panic ends this case only.
    let case = tokio::task::spawn_local(tokio::time::timeout(CASE_LIMIT, run(world)));
    let failed = match case.await {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some(format!("it took longer than {CASE_LIMIT:?}")),
        Err(error) => Some(reason(error)),
    };
    let ms = begun.elapsed().as_millis();
    match &failed {
        None => println!("PASS {suite}: {name} ({ms} ms)"),
        Some(reason) => println!("FAIL {suite}: {name} ({ms} ms): {}", reason.replace('\n', " ")),
    }
    failed.is_none()
}

fn reason(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "it was cancelled".to_owned();
    };
    let of_text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    of_text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}
