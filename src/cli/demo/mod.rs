//! `actormq demo`: a broker, a producer and two consumers in this process and a temporary directory, to be watched.

mod play;
mod screen;
mod stage;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use actix_rt::System;
use clap::Args;
use tokio::time::{Instant, interval};

use self::play::Play;
use self::screen::Screen;
use self::stage::Stage;
use super::connect::{Failure, finish, told_to_stop};
use super::shown;
use crate::server::tree::small_runtime;

/// How often the picture is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// How often a line tells how far it is, where there is no picture.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Flags of `actormq demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Lines instead of the live view, also on a terminal
    #[arg(long)]
    plain: bool,
    /// Seconds that it takes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(4..=600))]
    seconds: u16,
}

/// Shows what there is to see, and leaves nothing behind.
#[must_use]
pub fn run(args: &DemoArgs) -> ExitCode {
    let system = System::with_tokio_rt(small_runtime);
    finish(system.block_on(watch(args)))
}

async fn watch(args: &DemoArgs) -> Result<(), Failure> {
    let stage = Stage::build().await?;
    let watched = tokio::select! {
        watched = play_and_show(args, &stage) => watched,
        // Told to stop: the stage is taken down all the same.
        () = told_to_stop() => Ok(()),
    };
    stage.take_down().await;
    watched
}

async fn play_and_show(args: &DemoArgs, stage: &Stage) -> Result<(), Failure> {
    let length = Duration::from_secs(args.seconds.into());
    let mut play = Play::begin(stage, length).await?;
    // A terminal that does not answer gets lines.
    let mut screen = (!args.plain && io::stdout().is_terminal()).then(Screen::open).and_then(Result::ok);
    if screen.is_none() {
        shown::say(&format!("name server {} and broker {} run in this process", stage.name_server, stage.broker))?;
        shown::say("topic demo has 4 queues; a producer sends to it, the consumers of one group share its queues")?;
    }
    let mut frames = interval(FRAME);
    let mut next_line = Instant::now() + LINE_EVERY;
    while !play.is_over() {
        frames.tick().await;
        play.go_on(stage).await?;
        match &mut screen {
            Some(screen) => screen.draw(&play.scene)?,
            None => {
                for said in play.scene.news.drain(..) {
                    shown::say(&said)?;
                }
                if Instant::now() >= next_line {
                    next_line += LINE_EVERY;
                    shown::say(&play.scene.line())?;
                }
            }
        }
    }
    drop(screen);
    let outcome = play.end().await?;
    shown::say(&format!("\n{outcome}\n\n{NEXT}"))?;
    Ok(())
}

const NEXT: &str = "\
Try next:
  actormq standalone                                   start a broker and a name server that stay
  actormq send --topic T --body hello                  send to it, from a second shell
  actormq consume --topic T --group G                  read what was sent
  actormq top                                          watch topics, groups and rates
  actormq --help                                       everything else";
