//! `actormq message trace`: the story of one message.

use clap::Args;

use crate::cli::connect::{Failure, ServerAddresses};
use crate::cli::shown::OutputArgs;
use crate::cli::times;
use crate::client::TRACE_TOPIC;
use crate::client::admin::{Admin, Step};

/// Which message.
#[derive(Debug, Args)]
pub struct TraceArgs {
    #[command(flatten)]
    servers: ServerAddresses,
    /// The id that its producer gave it, as `send` and `consume --json` print it
    id: String,
    /// Where its producers and consumers write
    #[arg(long, value_name = "TOPIC", default_value = TRACE_TOPIC)]
    trace_topic: String,
    #[command(flatten)]
    output: OutputArgs,
}

impl TraceArgs {
    /// The servers to ask.
    pub fn servers(&self) -> &ServerAddresses {
        &self.servers
    }
}

/// Prints the story.
///
/// # Errors
/// When nobody wrote about the message, or a server refuses or does not answer.
pub async fn story(args: &TraceArgs, admin: &Admin) -> Result<(), Failure> {
    let steps = admin.story(&args.trace_topic, &args.id).await?;
    if steps.is_empty() {
        let text = format!("nobody wrote about a message {} to {}", args.id, args.trace_topic);
        let advice = "clients write when they are told to (enableMsgTrace; `trace` and `traced` in our library)";
        return Err(Failure::Refused(format!("{text}: {advice}")));
    }
    Ok(args.output.rows(&steps, &["time", "step", "group", "took", "result"], cells, "")?)
}

fn cells(step: &Step) -> Vec<String> {
    let took = |ms: i64| format!("{ms} ms");
    let time = times::shown_if(Some(step.time_ms()).filter(|time| *time > 0));
    let [what, group, took, result] = match step {
        Step::Sent(step) => {
            let what = format!("sent to {}", step.topic);
            let result = if step.success { "stored at" } else { "not safely stored at" };
            [what, step.group.clone(), took(step.cost_ms), format!("{result} {}", step.stored.store_host)]
        }
        Step::Consuming(step) => {
            let what = match step.retries {
                0 => "consuming".to_owned(),
                times => format!("consuming, retry {times}"),
            };
            [what, step.group.clone(), String::new(), String::new()]
        }
        Step::Consumed(step) => {
            let result = match step.outcome {
                _ if step.success => "consumed",
                1 => "took too long",
                2 => "the listener panicked",
                _ => "comes again",
            };
            ["done".to_owned(), step.group.clone().unwrap_or_default(), took(step.cost_ms), result.to_owned()]
        }
        Step::TransactionEnded { group, state, asked, .. } => {
            let what = if *asked { "transaction ended when asked" } else { "transaction ended" };
            [what.to_owned(), group.clone(), String::new(), state.clone()]
        }
    };
    vec![time, what, group, took, result]
}
