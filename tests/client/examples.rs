//! Every example runs to its end.

use std::path::Path;
use std::process::Command;

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
        let name = example.unwrap().path().file_stem().unwrap().to_owned();
        let ran = Command::new(built.join(&name)).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(
            ran.status.success() && said.lines().count() > 1,
            "{name:?}: {said}{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        count += 1;
    }
    assert!(count >= 7, "{count}");
}
