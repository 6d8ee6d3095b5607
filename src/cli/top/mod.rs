//! `actormq top`: topics, groups and brokers, with their rates, as they change.

mod keys;
mod picture;
mod sample;
mod view;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::{MissedTickBehavior, interval, sleep};

use self::keys::{Key, Keys};
use self::picture::Picture;
use self::sample::Sample;
use self::view::View;
use super::connect::{self, Failure, ServerAddresses, told_to_stop, with_admin};
use super::shown;
use crate::client::admin::Admin;

/// Between the two looks that one table is made of.
const ONCE_OVER: Duration = Duration::from_secs(1);

/// Flags of `actormq top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    interval: f64,
    /// Print one table and end, as it does without a terminal
    #[arg(long)]
    once: bool,
    /// Print one JSON object and end, for scripts
    #[arg(long)]
    json: bool,
    /// The brokers' own topics and groups too
    #[arg(long)]
    all: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3_600.0).contains(seconds));
    seconds.ok_or_else(|| "0.1 to 3600 seconds are wanted".to_owned())
}

/// Watches until somebody presses q.
#[must_use]
pub fn run(args: &TopArgs) -> ExitCode {
    let watches = !args.once && !args.json && io::stdin().is_terminal() && io::stdout().is_terminal();
    connect::run(with_admin(
        &args.servers,
        async |admin| {
            if watches { watch(args, admin).await } else { once(args, admin).await }
        },
    ))
}

async fn once(args: &TopArgs, admin: &Admin) -> Result<(), Failure> {
    let first = Sample::take(admin, args.all).await?;
    sleep(ONCE_OVER).await;
    let picture = Picture::of(&Sample::take(admin, args.all).await?, Some(&first));
    if args.json { Ok(shown::json(&picture)?) } else { Ok(shown::say(&picture.text())?) }
}

async fn watch(args: &TopArgs, admin: &Admin) -> Result<(), Failure> {
    // A first look before the screen is taken: who calls wrongly shall read why.
    let mut before = Sample::take(admin, args.all).await?;
    let mut view = View::open(Picture::of(&before, None))?;
    let mut keys = Keys::hear();
    let mut looks = interval(Duration::from_secs_f64(args.interval));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopped = std::pin::pin!(told_to_stop());
    loop {
        view.draw()?;
        tokio::select! {
            () = &mut stopped => return Ok(()),
            key = keys.next() => match key {
                Some(Key::Quit) | None => return Ok(()),
                Some(key) => view.press(key),
            },
            sample = look(&mut looks, admin, args.all) => match sample {
                Ok(sample) => {
                    view.show(Picture::of(&sample, Some(&before)));
                    before = sample;
                }
                Err(error) => view.complain(&error.to_string()),
            },
        }
    }
}

/// The next look, when it is due.
async fn look(looks: &mut tokio::time::Interval, admin: &Admin, all: bool) -> Result<Sample, Failure> {
    looks.tick().await;
    Sample::take(admin, all).await
}
