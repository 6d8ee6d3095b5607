//! Settings from the outside: which source wins, what is refused with which words, what a file in the field does, what an
//! update while running changes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use actormq::cli::logging;
use actormq::config::{
    BrokerConfig, BrokerRole, ConfigError, Effect, FlushMode, Given, LogConfig, LogFormat, Notice, Role, Saved, Scope,
    Settings, Sources, TlsMode, load,
};

/// A file as operators have it: blanks around some separators, old keys, thread pools, a typing mistake.
const BROKER_CONF: &str = "\
# broker-a of the order cluster
brokerClusterName = OrderCluster
brokerName=broker-a
brokerId=0
brokerRole = SYNC_MASTER
flushDiskType: SYNC_FLUSH
! name servers, one a line
namesrvAddr=10.1.0.1:9876;\\
            10.1.0.2:9876
brokerIP1=192.168.10.4
storePathRootDir=/data/rocketmq/store
storePathCommitLog=/data/rocketmq/store/commitlog
mappedFileSizeConsumeQueue=300000
deleteWhen=04;16
fileReservedTime=48
diskMaxUsedSpaceRatio=88
autoCreateTopicEnable=FALSE
sendMessageThreadPoolNums=128
useReentrantLockWhenPutMessage=true
haSlaveFallbehindMax=268435456
flushIntervalComitLog=200
";

struct Case {
    dir: tempfile::TempDir,
    sources: Sources,
}

impl Case {
    fn of(role: Role) -> Self {
        let sources = Sources { role, flags: Vec::new(), environment: Vec::new(), file: None, strict: false };
        Self { dir: tempfile::tempdir().unwrap(), sources }
    }

    fn broker() -> Self {
        Self::of(Role::Broker)
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        self.sources.file = Some(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn set(mut self, key: &str, text: &str) -> Self {
        let origin = format!("--set {key}");
        self.sources.flags.push(Given { scope: Scope::Any, key: key.into(), text: text.into(), origin });
        self
    }

    fn strict(mut self) -> Self {
        self.sources.strict = true;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self) -> Result<Settings, ConfigError> {
        load(&self.sources)
    }

    fn loaded(&self) -> BrokerConfig {
        self.load().unwrap().broker.unwrap()
    }

    /// The message of the refusal, with the file's directory taken out.
    fn refusal(&self) -> String {
        let directory = format!("{}/", self.dir.path().display());
        self.load().unwrap_err().to_string().replace(&directory, "")
    }

    /// The notices, with the file's directory taken out.
    fn notices(&self) -> Vec<String> {
        let directory = format!("{}/", self.dir.path().display());
        self.load().unwrap().notices.iter().map(|notice| notice.to_string().replace(&directory, "")).collect()
    }
}

fn pairs(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(key, text)| (key.to_string(), text.to_string())).collect()
}

#[test]
fn tls_is_set_by_rocketmqs_keys_from_every_source() {
    let mode = |case: Case| case.loaded().network.tls.mode;
    assert_eq!(mode(Case::broker()), TlsMode::Permissive);
    assert_eq!(mode(Case::broker().set("tls.server.mode", "enforcing")), TlsMode::Enforcing);
    assert_eq!(mode(Case::broker().variable("ACTORMQ_TLS_SERVER_MODE", "disabled")), TlsMode::Disabled);
    assert_eq!(mode(Case::broker().file("b.conf", "tls.server.mode=disabled\n")), TlsMode::Disabled);
    for text in ["tls_server_mode = 'disabled'", "tls.server.mode = 'disabled'", "[tls.server]\nmode = 'disabled'"] {
        assert_eq!(mode(Case::broker().file("b.toml", text)), TlsMode::Disabled, "{text}");
    }
    let of_both = Case::of(Role::Standalone).set("tls.server.mode", "disabled").load().unwrap();
    assert_eq!(of_both.namesrv.unwrap().network.tls, of_both.broker.unwrap().network.tls);
    let unset = Case::broker().variable("ACTORMQ_TLS_TEST_MODE_ENABLE", "true").loaded().network.tls;
    assert_eq!((unset.test_mode, unset.is_self_signed()), (Some(true), true));
    let wrong = Case::broker().set("tls.server.mode", "on").refusal();
    assert!(wrong.contains("it must be disabled or permissive or enforcing"), "{wrong}");
}

#[test]
fn the_file_of_tls_settings_gives_way_to_the_others() {
    let text =
        "tls.server.certPath=/c\ntls.server.keyPath=/k\ntls.server.keyPassword=hush\ntls.client.authServer=true\n";
    let case = Case::broker();
    let path = case.path("tls.properties");
    std::fs::write(&path, text).unwrap();
    let case = case.set("tls.config.file", path.to_str().unwrap()).variable("ACTORMQ_TLS_SERVER_KEY_PATH", "/k2");
    let tls = case.loaded().network.tls;
    assert_eq!(tls.identity.certificates.as_deref(), Some(Path::new("/c")));
    assert_eq!(tls.identity.key.as_deref(), Some(Path::new("/k2")));
    assert!(!tls.is_self_signed() && tls.outbound.checks_servers() && !tls.outbound.enabled);
    let printed = case.load().unwrap().describe();
    assert!(!printed.contains("hush") && !format!("{tls:?}").contains("hush"), "{printed}");
    assert!(printed.contains("# tls_server_keyPassword is set ("), "{printed}");
    let update = case.loaded().apply_update(&pairs(&[("tls.server.keyPassword", "louder")]));
    assert!(matches!(update, Err(ConfigError::BlackListed { .. })), "{update:?}");
    let read_back = Case::broker().file("printed.toml", &printed).loaded().network.tls;
    assert_eq!(
        (read_back.identity.certificates, read_back.identity.key),
        (tls.identity.certificates, tls.identity.key)
    );
}

#[test]
fn tls_settings_that_cannot_work_are_refused() {
    let refusal = |settings: &[(&str, &str)]| {
        settings.iter().fold(Case::broker(), |case, (key, text)| case.set(key, text)).refusal()
    };
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[("tls.server.keyPath", "/k")], "needs tls.server.certPath"),
        (&[("tls.client.certPath", "/c")], "needs tls.client.keyPath"),
        (&[("tls.test.mode.enable", "false")], "needs tls.server.certPath and tls.server.keyPath"),
        (
            &[("tls.server.authClient", "true"), ("tls.server.need.client.auth", "require")],
            "needs tls.server.trustCertPath",
        ),
    ];
    for (settings, reason) in cases {
        let refusal = refusal(settings);
        assert!(refusal.contains(reason), "{refusal}");
    }
    let both = [("tls.test.mode.enable", "true"), ("tls.server.certPath", "/c"), ("tls.server.keyPath", "/k")];
    let case = both.iter().fold(Case::of(Role::Standalone), |case, (key, text)| case.set(key, text));
    let said: Vec<_> = case.notices().into_iter().filter(|notice| notice.contains("is not used")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn the_stronger_source_wins() {
    let case = || Case::broker().file("b.toml", "brokerName = 'file'\nregion_id = 'file'\nbrokerPermission = 4\n");
    let name = |case: Case| case.loaded().identity.broker_name;
    assert_ne!(name(Case::broker()), "");
    assert_eq!(name(case()), "file");
    assert_eq!(name(case().variable("ACTORMQ_BROKER_NAME", "environment")), "environment");
    let all = case().variable("ACTORMQ_BROKER_NAME", "environment").set("brokerName", "flag");
    let config = all.loaded();
    assert_eq!(config.identity.broker_name, "flag");
    assert_eq!((config.identity.region_id.as_str(), config.identity.permission), ("file", 4));
    assert_eq!(config.identity.cluster_name, "DefaultCluster");
}

#[test]
fn a_table_of_a_role_goes_before_the_top_of_the_file_but_not_before_the_environment() {
    let text = "brokerPermission = 2\n[broker]\nbrokerPermission = 4\n[namesrv]\nlistenPort = 9999\n";
    assert_eq!(Case::broker().file("b.toml", text).loaded().identity.permission, 4);
    let case = Case::broker().file("b.toml", text).variable("ACTORMQ_BROKER_PERMISSION", "6");
    assert_eq!(case.loaded().identity.permission, 6);
    assert_eq!(case.loaded().network.listen_port, 10911);
}

#[test]
fn a_file_from_the_field_is_taken_as_apache_takes_it() {
    let case = Case::broker().file("broker.conf", BROKER_CONF);
    let config = case.loaded();
    assert_eq!(config.identity.cluster_name, "OrderCluster");
    assert_eq!(config.identity.role, BrokerRole::SyncMaster);
    assert_eq!(config.flush.mode, FlushMode::Sync);
    let addresses: Vec<&str> = config.registration.namesrv_addresses.iter().map(|a| a.as_str()).collect();
    assert_eq!(addresses, ["10.1.0.1:9876", "10.1.0.2:9876"]);
    assert_eq!(config.network.advertised_host.as_deref(), Some("192.168.10.4"));
    assert_eq!(config.store.commit_log_dir(), Path::new("/data/rocketmq/store/commitlog"));
    assert_eq!(config.retention.delete_hours, [4, 16]);
    assert!(!config.topics.auto_create);
    let expected = [
        "broker.conf:21: unknown key \"flushIntervalComitLog\" is ignored; the nearest known key is flushIntervalCommitLog",
        "diskMaxUsedSpaceRatio=88 (broker.conf:16) and diskSpaceCleanForciblyRatio=85 (default) contradict each other: \
         the first must not be above the second (88 > 85); the lower one acts first",
        "accepted, without meaning here: haSlaveFallbehindMax, sendMessageThreadPoolNums, useReentrantLockWhenPutMessage",
    ];
    assert_eq!(case.notices(), expected);
}

#[test]
fn an_unknown_key_is_refused_but_in_properties_files() {
    let nearest = "unknown key \"brokerNmae\"; the nearest known key is brokerName";
    assert_eq!(Case::broker().set("brokerNmae", "a").refusal(), format!("--set brokerNmae: {nearest}"));
    let toml = Case::broker().file("b.toml", "\n\nbrokerNmae = 'a'\n");
    assert_eq!(toml.refusal(), format!("b.toml:3: {nearest}"));
    let properties = Case::broker().file("b.conf", "# x\nbrokerNmae=a\n");
    assert_eq!(properties.notices(), [format!("b.conf:2: {}", nearest.replace(';', " is ignored;"))]);
    assert_eq!(properties.strict().refusal(), format!("b.conf:2: {nearest}"));
    let environment = Case::broker().variable("ACTORMQ_BROKER_NMAE", "a");
    let expected = "environment ACTORMQ_BROKER_NMAE: unknown key \"broker_nmae\"; the nearest known key is brokerName";
    assert_eq!(environment.refusal(), expected);
    assert_eq!(Case::broker().set("frobnicate", "1").refusal(), "--set frobnicate: unknown key \"frobnicate\"");
}

#[test]
fn many_unknown_keys_do_not_flood_the_log() {
    let text: String = (0..1_000).map(|number| format!("stale{number}=1\n")).collect();
    let notices = Case::broker().file("b.conf", &text).notices();
    assert_eq!(notices.len(), 17);
    assert_eq!(notices.last().unwrap(), "984 more unknown keys are ignored");
}

#[test]
fn a_bad_value_is_refused_with_what_is_allowed() {
    let refusals = [
        ("brokerId", "one", "a whole number from 0 to 9223372036854775807"),
        ("brokerPermission", "8", "a whole number from 0 to 7"),
        ("flushIntervalCommitLog", "5s", "a whole number of milliseconds from 1 to 2147483647"),
        ("autoCreateTopicEnable", "yes", "true or false"),
        ("flushDiskType", "sync_flush", "ASYNC_FLUSH or SYNC_FLUSH"),
        ("brokerRole", "MASTER", "ASYNC_MASTER or SYNC_MASTER or SLAVE"),
        ("storeType", "defaultRocksDB", "default"),
        ("listenPort", "2", "0 (any free port) or 3 to 65535, for the fast port is two below"),
        ("listenPort", "70000", "0 (any free port) or 3 to 65535, for the fast port is two below"),
        ("mappedFileSizeCommitLog", "4096", "a multiple of 4096 from 65536 to 2147479552 (bytes)"),
        ("mappedFileSizeCommitLog", "1000000", "a multiple of 4096 from 65536 to 2147479552 (bytes)"),
        ("namesrvAddr", "10.1.0.1", "host:port, several of them separated by ;"),
        ("brokerIP1", "0.0.0.0", "an IP address or a host name that others can reach, without port"),
        ("deleteWhen", "25", "hours from 00 to 23, separated by ;"),
        ("messageDelayLevel", "1s 5", "1 to 256 delays such as 1s 5m 2h 1d, separated by blanks"),
        ("sendMessageThreadPoolNums", "many", "a whole number of 32 bits"),
        (
            "actormqLogLevel",
            "loud",
            "one of error, warn, info, debug, trace, off, or target=level pairs separated by commas",
        ),
        ("actormqLogFormat", "xml", "text or json"),
    ];
    for (key, text, allowed) in refusals {
        let said = format!("{key}={text:?} is not allowed: it must be {allowed}");
        assert_eq!(Case::broker().set(key, text).refusal(), format!("--set {key}: {said}"));
        let properties = Case::broker().file("b.conf", &format!("\n{key} = {text}\n"));
        assert_eq!(properties.refusal(), format!("b.conf:2: {said}"));
    }
    let control = Case::broker().file("b.conf", "regionId=a\\nb\n").refusal();
    assert!(control.starts_with("b.conf:1: regionId=\"a\\nb\" is not allowed: it must be one line"), "{control}");
}

#[test]
fn values_that_contradict_each_other_are_refused_with_both_places() {
    let slave = Case::broker().file("b.conf", "brokerRole=SLAVE\n");
    let expected = "brokerId=0 (default) and brokerRole=SLAVE (b.conf:1) contradict each other: \
                    a slave's id is 1 or above, 0 is the master's";
    assert_eq!(slave.refusal(), expected);
    assert_eq!(slave.set("brokerId", "2").loaded().identity.broker_id, 2);

    let disk = Case::broker().set("diskMaxUsedSpaceRatio", "80").set("diskSpaceCleanForciblyRatio", "70");
    assert!(disk.refusal().ends_with("the first must not be above the second (80 > 70)"), "{}", disk.refusal());

    let ports = Case::broker().set("listenPort", "10911").set("haListenPort", "10909");
    assert!(ports.refusal().ends_with("must differ from listenPort and from the fast port 10909"));
    let no_room = Case::broker().set("listenPort", "65535");
    assert!(no_room.refusal().contains("haListenPort=65535 (default)"), "{}", no_room.refusal());

    let frame = Case::broker().set("maxMessageSize", "16777216");
    assert!(frame.refusal().contains("and actormqFrameMaxBytes=16777216 (default) contradict"), "{}", frame.refusal());
    frame.set("actormqFrameMaxBytes", "33554432").load().unwrap();

    let segment = Case::broker().set("mappedFileSizeCommitLog", "1048576");
    assert!(segment.notices()[0].ends_with("longer ones will be refused"));
    let both = segment.set("maxMessageSize", "2097152");
    assert!(both.refusal().contains("a segment must hold the longest message"), "{}", both.refusal());

    let modes = Case::broker().set("enableControllerMode", "true").set("enableDLegerCommitLog", "true");
    assert!(modes.refusal().ends_with("exclude each other"), "{}", modes.refusal());
}

#[test]
fn what_rocketmq_forces_is_forced_and_said() {
    let master = Case::broker().set("brokerId", "3");
    assert_eq!(master.loaded().identity.broker_id, 0);
    let said = "brokerId=3 (--set brokerId) becomes 0, for brokerRole=ASYNC_MASTER (default) is a master; \
                a slave needs brokerRole=SLAVE";
    assert_eq!(master.notices(), [said]);
    assert!(master.load().unwrap().describe().contains("# --set brokerId, forced\n"));
    assert_eq!(Case::broker().set("registerNameServerPeriod", "1000").loaded().registration.period_ms, 10_000);
    let queue = Case::broker().set("mappedFileSizeConsumeQueue", "1001");
    assert_eq!(queue.loaded().store.consume_queue_segment_bytes, 1_020);
    assert_eq!(Case::broker().set("timerPrecisionMs", "300").loaded().delay.timer_precision_ms, 200);
}

#[test]
fn a_key_set_twice_is_refused_where_nobody_could_mean_it() {
    let flags = Case::broker().set("brokerName", "a").set("brokerName", "b");
    let expected =
        "brokerName is set twice: to \"a\" by --set brokerName, to \"b\" by --set brokerName; keep one of them";
    assert_eq!(flags.refusal(), expected);
    let toml = Case::broker().file("b.toml", "brokerName = 'a'\nbroker_name = 'b'\n");
    assert!(toml.refusal().contains("to \"a\" by b.toml:1, to \"b\" by b.toml:2"), "{}", toml.refusal());
    let properties = Case::broker().file("b.conf", "brokerName=a\nbrokerName=b\n");
    assert_eq!(properties.loaded().identity.broker_name, "b");
    assert_eq!(properties.notices(), ["b.conf:2: brokerName replaces the value of b.conf:1"]);
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let mut missing = Case::broker();
    missing.sources.file = Some(missing.path("none.conf"));
    assert!(missing.refusal().starts_with("none.conf: cannot be read: "), "{}", missing.refusal());
    let long = Case::broker().file("b.conf", &"#".repeat(1024 * 1024 + 1));
    assert_eq!(long.refusal(), "b.conf: is longer than 1048576 bytes, too long for a configuration file");
    let escape = Case::broker().file("b.conf", "a=1\nbrokerName=\\u12\n");
    assert_eq!(escape.refusal(), "b.conf:2: \\u must be followed by four hexadecimal digits");
}

#[test]
fn standalone_gives_each_role_its_own() {
    let text = "bindAddress = '127.0.0.1'\n[broker]\nlistenPort = 20911\n[namesrv]\nlistenPort = 29876\n[log]\nformat = 'json'\n";
    let settings = Case::of(Role::Standalone).file("all.toml", text).load().unwrap();
    let (broker, namesrv) = (settings.broker.unwrap(), settings.namesrv.unwrap());
    assert_eq!((broker.network.listen_port, namesrv.network.listen_port), (20911, 29876));
    assert_eq!(broker.network.bind_address, namesrv.network.bind_address);
    assert_eq!(settings.process.log.format, LogFormat::Json);

    let case = Case::of(Role::Standalone).set("listenPort", "20911").set("storePathRootDir", "/d");
    let settings = case.variable("ACTORMQ_NAMESRV_LISTEN_PORT", "0").load().unwrap();
    let (broker, namesrv) = (settings.broker.unwrap(), settings.namesrv.unwrap());
    assert_eq!((broker.network.listen_port, namesrv.network.listen_port), (20911, 0));
    assert_eq!(namesrv.files.kv_config_path(), Path::new("/d/kvConfig.json"));
    assert_eq!(broker.store.data_dir, Path::new("/d"));
}

#[test]
fn keys_of_another_role_are_accepted() {
    let case = Case::of(Role::Namesrv).variable("ACTORMQ_BROKER_NAME", "a").set("orderMessageEnable", "true");
    assert_eq!(case.notices(), ["accepted, without meaning here: brokerName"]);
    assert!(case.load().unwrap().namesrv.unwrap().routes.order_messages);
    assert!(matches!(case.load().unwrap().notices[..], [Notice::WithoutMeaning { .. }]));
}

#[test]
fn what_is_printed_is_a_file_that_means_the_same() {
    let case = Case::of(Role::Standalone)
        .file("broker.conf", BROKER_CONF)
        .variable("ACTORMQ_REGION_ID", "a \"b\" \\c")
        .set("actormqLogLevel", "actormq=debug");
    let printed = case.load().unwrap().describe();
    assert!(printed.contains("broker.conf:3\n") && printed.contains("# environment ACTORMQ_REGION_ID\n"));
    assert!(printed.contains("128") && printed.contains("; without meaning here\n"));
    let again = Case::of(Role::Standalone).file("printed.toml", &printed).load().unwrap();
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim_end().to_string()).collect()
    };
    assert_eq!(values(&again.describe()), values(&printed));
}

#[test]
fn an_update_changes_what_can_change_and_keeps_the_rest_for_the_next_start() {
    let config = Case::broker().file("b.conf", "brokerPermission=6\nlistenPort=10911\n").loaded();
    let wanted = pairs(&[
        ("brokerPermission", "4"),
        ("listenPort", "20911"),
        ("longPollingEnable", "true"),
        ("sendMessageThreadPoolNums", "7"),
        ("nobodyKnows", "1"),
    ]);
    let (next, report) = config.apply_update(&wanted).unwrap();
    assert_eq!((config.identity.permission, next.identity.permission), (6, 4));
    assert_eq!(next.network.listen_port, 10911);
    let changed: Vec<_> = report.changed.iter().map(|c| (c.key, c.old.as_str(), c.new.as_str(), c.effect)).collect();
    let expected = [("brokerPermission", "6", "4", Effect::Now), ("listenPort", "10911", "20911", Effect::NextStart)];
    assert_eq!(changed, expected);
    assert!(report.has_changed("brokerPermission") && !report.has_changed("longPollingEnable"));
    assert_eq!(report.without_meaning, ["sendMessageThreadPoolNums"]);
    assert_eq!(report.unknown, ["nobodyKnows"]);
    let listed = next.to_properties();
    for line in ["brokerPermission=4\n", "listenPort=20911\n", "sendMessageThreadPoolNums=7\n"] {
        assert!(listed.contains(line), "{line}");
    }
    assert!(!listed.contains("nobodyKnows"));
}

#[test]
fn an_update_is_refused_as_a_whole() {
    let config = Case::broker().set("haListenPort", "12345").loaded();
    let refused = |texts: &[(&str, &str)]| config.apply_update(&pairs(texts)).unwrap_err();
    for key in ["configBlackList", "brokerConfigPath", "rocketmqHome"] {
        assert!(matches!(refused(&[("traceOn", "false"), (key, "x")]), ConfigError::BlackListed { .. }), "{key}");
    }
    assert!(matches!(refused(&[("traceOn", "false"), ("brokerPermission", "x")]), ConfigError::BadValue { .. }));
    assert!(matches!(refused(&[("listenPort", "12345")]), ConfigError::Contradiction { .. }));
    let many: Vec<(String, String)> = (0..5_000).map(|number| (format!("k{number}"), String::new())).collect();
    assert!(matches!(config.apply_update(&many).unwrap_err(), ConfigError::TooMany { .. }));
    let strict = Case::broker().strict().loaded();
    let unknown = strict.apply_update(&pairs(&[("nobodyKnows", "1")])).unwrap_err();
    assert!(matches!(unknown, ConfigError::UnknownKey { .. }));
    let listed = Case::broker().set("configBlackList", "traceOn;regionId").loaded();
    assert!(listed.apply_update(&pairs(&[("regionId", "x")])).is_err());
}

#[test]
fn two_updates_that_only_contradict_each_other_later_are_refused() {
    let config = Case::broker().loaded();
    let (config, _) = config.apply_update(&pairs(&[("haListenPort", "20909")])).unwrap();
    let error = config.apply_update(&pairs(&[("listenPort", "20911")])).unwrap_err();
    assert!(matches!(error, ConfigError::Contradiction { .. }), "{error}");
}

#[test]
fn an_update_is_kept_in_the_file_it_came_from() {
    for (name, text, expected) in [
        (
            "b.conf",
            "# mine\nbrokerName = a\ntraceOn=true\n",
            "# mine\nbrokerName = a\ntraceOn=false\nsendMessageThreadPoolNums=7\n",
        ),
        (
            "b.toml",
            "# mine\nbrokerName = 'a'\n[broker]\ntrace_on = true\n",
            "# mine\nbrokerName = 'a'\n[broker]\nsendMessageThreadPoolNums = 7\ntraceOn = false\n",
        ),
    ] {
        let case = Case::broker().file(name, text);
        let wanted = pairs(&[("traceOn", "false"), ("sendMessageThreadPoolNums", "7"), ("nobodyKnows", "1")]);
        let (next, report) = case.loaded().apply_update(&wanted).unwrap();
        assert_eq!(next.save(&report).unwrap(), Saved::To(case.path(name)));
        assert_eq!(std::fs::read_to_string(case.path(name)).unwrap(), expected);
        assert!(!case.loaded().clients.trace_on);
        assert_eq!(std::fs::read_dir(case.dir.path()).unwrap().count(), 1);
    }
    let config = Case::broker().loaded();
    let (next, report) = config.apply_update(&pairs(&[("traceOn", "false")])).unwrap();
    assert_eq!(next.save(&report).unwrap(), Saved::Nowhere);
}

#[test]
fn a_name_server_is_updated_and_listed_like_a_broker() {
    let case = Case::of(Role::Namesrv);
    let case = {
        let data = case.path("data");
        case.set("storePathRootDir", data.to_str().unwrap())
    };
    std::fs::create_dir(case.path("data")).unwrap();
    let config = case.load().unwrap().namesrv.unwrap();
    let (next, report) =
        config.apply_update(&pairs(&[("deleteTopicWithBrokerRegistration", "true"), ("clusterTest", "true")])).unwrap();
    assert!(next.routes.registration_deletes_topics);
    assert!(report.has_changed("deleteTopicWithBrokerRegistration"));
    let listed = next.to_properties();
    assert!(listed.contains("clusterTest=true\n") && listed.contains("listenPort=9876\n"));
    assert!(!listed.contains("brokerName"));
    assert_eq!(next.save(&report).unwrap(), Saved::To(case.path("data/namesrv.properties")));
    let kept = std::fs::read_to_string(case.path("data/namesrv.properties")).unwrap();
    assert_eq!(kept, "clusterTest=true\ndeleteTopicWithBrokerRegistration=true\n");
    let black = config.apply_update(&pairs(&[("kvConfigPath", "/tmp/x")])).unwrap_err();
    assert!(matches!(black, ConfigError::BlackListed { .. }));
}

#[test]
fn a_broker_lists_what_apache_s_lists() {
    let listed = Case::broker().set("namesrvAddr", "a:1").loaded().to_properties();
    assert_eq!(listed.lines().count(), 483);
    for line in ["brokerRole=ASYNC_MASTER", "flushDiskType=ASYNC_FLUSH", "haListenPort=10912", "deleteWhen=04"] {
        assert!(listed.lines().any(|found| found == line), "{line}");
    }
    assert!(listed.lines().is_sorted());
    let own = listed.lines().filter(|line| line.starts_with("actormq"));
    assert_eq!(own.count(), 0);
}

#[test]
fn a_file_that_holds_every_key_is_taken() {
    let text = Case::broker().set("diskMaxUsedSpaceRatio", "88").loaded().to_properties();
    let case = Case::broker().file("broker.conf", &text).strict();
    assert_eq!(case.loaded().to_properties(), text);
}

#[test]
fn log_lines_reach_their_file_in_their_form() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let config = LogConfig { level: "warn,settings=info".into(), format: LogFormat::Json, dir: Some(path.clone()) };
    let guard = logging::set_up(&config).unwrap();
    tracing::info!(port = 10911, "it runs");
    tracing::info!(target: "actormq::store", "nobody asked");
    assert!(logging::set_up(&config).is_err());
    drop(guard);
    let file = std::fs::read_dir(path).unwrap().next().unwrap().unwrap();
    let name = file.file_name().into_string().unwrap();
    assert!(name.starts_with("actormq.") && name.ends_with(".log"), "{name}");
    let lines = std::fs::read_to_string(file.path()).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.trim_end()).unwrap();
    assert_eq!((line["message"].as_str(), line["port"].as_u64()), (Some("it runs"), Some(10911)));
}

fn actormq(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_actormq"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ACTORMQ_")) {
        command.env_remove(name);
    }
    command.env_remove("NAMESRV_ADDR").args(arguments).output().unwrap()
}

#[test]
fn the_binary_prints_its_settings_and_ends_well() {
    let arguments = ["broker", "--print-config", "-n", "a:1;b:2", "--name", "x", "--listen", "127.0.0.1:0"];
    let output = actormq(&[&arguments[..], &["--cluster", "c", "--data", "/d", "--log-level", "debug"]].concat());
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    let printed = String::from_utf8(output.stdout).unwrap();
    for (value, origin) in [
        ("namesrvAddr = \"a:1;b:2\"", "-n"),
        ("brokerName = \"x\"", "--name"),
        ("brokerClusterName = \"c\"", "--cluster"),
        ("bindAddress = \"127.0.0.1\"", "--listen"),
        ("listenPort = 0", "--listen"),
        ("storePathRootDir = \"/d\"", "--data"),
        ("actormqLogLevel = \"debug\"", "--log-level"),
        ("flushDiskType = \"ASYNC_FLUSH\"", "default"),
    ] {
        let found = printed.lines().any(|line| line.starts_with(value) && line.ends_with(&format!(" # {origin}")));
        assert!(found, "{value} # {origin} in\n{printed}");
    }
}

#[test]
fn the_binary_refuses_wrong_settings_with_one_line_and_status_2() {
    for (arguments, line) in [
        (&["broker", "--set", "nonsense"][..], "actormq: --set \"nonsense\" is not allowed: it must be KEY=VALUE"),
        (&["namesrv", "--listen", "9876"][..], "actormq: --listen \"9876\" is not allowed: it must be ADDR:PORT"),
        (&["standalone", "--namesrv-listen", "x:1"][..], "actormq: --namesrv-listen: bindAddress=\"x\" is not allowed"),
        (&["broker", "--id", "-1"][..], "actormq: --id: brokerId=\"-1\" is not allowed"),
        (
            &["broker", "--name", "a", "--set", "brokerName=b"][..],
            "actormq: brokerName is set twice: to \"a\" by --name",
        ),
        (&["broker", "-c", "/nowhere/x.conf"][..], "actormq: /nowhere/x.conf: cannot be read"),
    ] {
        let output = actormq(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with(line), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(output.stdout.is_empty());
    }
}
