//! Every example runs to its end, and says what it is there to show.

use std::path::Path;
use std::process::Command;

/// What each prints, line by line, in part.
const SAYS: &[(&str, &[&str])] = &[
    (
        "producer",
        &[
            " is at 0 of ",
            "255 at once",
            "order-7 created: ",
            "order-7 paid: ",
            "order-7 shipped: ",
            "the last queue is ",
            "queueId=3]",
            "1000 gathered",
        ],
    ),
    ("batch_producer", &["1000 messages from 0 on in ", "9 MiB took 3 requests", "a long text is in "]),
    ("push", &["shared 100 and broadcast 100", "the first has 2 queues, the second 2"]),
    ("pull", &[" polled", "at 3 of ", " is order "]),
    ("embedded_broker", &["servers within ", " says remember this", "and ", "unheard-of", "not exist"]),
    (
        "delay",
        &[
            "a bill that fails once: given back 0 times",
            "a bill that fails once: given back 1 times",
            "level 2: given back 0 times",
            "level 2: given back 1 times",
            "a reminder: given back 0 times, after ",
            "no bill at all: given back 0 times",
            "a dead letter: no bill at all",
        ],
    ),
    ("ordered", &["order-0: created, paid, shipped\n", "order-7: created, paid, shipped\n"]),
    (
        "transaction",
        &[
            "an order: Commit",
            "an order that cannot be paid: Rollback",
            "an order in the dark: Unknown",
            "the broker asks about an order in the dark",
            "delivered: an order, an order in the dark",
        ],
    ),
    ("request_reply", &["tea costs 3", "coffee costs 4", "nobody sells water: "]),
    ("broadcasting", &["both caches have 10 entries", "the first goes on at the 11th"]),
    ("sql_filter", &["a bad expression: ", "at character ", " from the "]),
    (
        "geo_filter",
        &["within 10 km", ": Alexanderplatz\n", "Alexanderplatz, Potsdam\n", "Alexanderplatz, Hamburg, Potsdam"],
    ),
];

#[test]
fn every_example_runs_to_its_end() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(root).args(["build", "--quiet", "--examples"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success());
    let built = Path::new(env!("CARGO_BIN_EXE_actormq")).with_file_name("examples");
    let mut count = 0;
    for example in std::fs::read_dir(root.join("examples")).unwrap() {
        let name = example.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let (_, says) = SAYS.iter().find(|(of, _)| *of == name).unwrap_or_else(|| panic!("what does {name} say?"));
        let ran = Command::new(built.join(&name)).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        let trouble = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && trouble.is_empty(), "{name}: {said}{trouble}");
        let mut rest = &said[..];
        for part in *says {
            let at = rest.find(part).unwrap_or_else(|| panic!("{name} lacks `{part}` after what came before:\n{said}"));
            rest = &rest[at + part.len()..];
        }
        count += 1;
    }
    assert_eq!(count, SAYS.len());
}
