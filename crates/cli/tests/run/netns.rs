//! The lab of namespaces: is the count exact, whatever the network does?
//!
//! `lab/netns.sh` makes a routed /22 with hosts of every kind, and says what the truth is. It needs root and programs
//! of Debian; where they are missing the tests say so and pass, under `CI` they fail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use directive::record::{Instance, Ledger, Merge, Way};

use super::*;

/// One lab at a time: they would take the processors from one another.
pub(super) static ONE: Mutex<()> = Mutex::new(());

/// A lab that stands; it is taken away when it is dropped.
struct Net {
    dir: tempfile::TempDir,
    _one: MutexGuard<'static, ()>,
}

impl Net {
    /// Makes one; `more` are variables of the script. `None`: it cannot be made here, and that was said.
    #[expect(clippy::print_stderr, reason = "a test that skips says so")]
    fn up(more: &[(&str, &str)]) -> Option<Self> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let net = Self { dir: tempfile::tempdir().unwrap(), _one: one };
        let output = net.script("up").envs(more.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_skipped = output.status.code() == Some(77) && std::env::var_os("CI").is_none();
        assert!(output.status.success() || is_skipped, "{said}");
        if is_skipped {
            eprintln!("{}", said.trim());
            return None;
        }
        Some(net)
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new(root().join("lab/netns.sh"));
        command.arg(verb).arg(self.dir.path());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a program where the scanner stands.
    fn run(&self, words: &[&str]) -> Output {
        self.script("run").args(words).current_dir(root()).env("NO_COLOR", "1").output().unwrap()
    }

    /// Counts, and gives the records.
    fn count(&self, scope: &str, more: &[&str]) -> Counted {
        let scope = self.path(scope);
        let mut words = vec![env!("CARGO_BIN_EXE_portcullis"), "discover", "--json", "--pack", "packs/ed-21-03"];
        words.extend(["--scope", arg(&scope)]);
        words.extend(more);
        Counted::of(&self.run(&words))
    }

    fn lose(&self, percent: &str) {
        assert!(self.script("loss").arg(percent).status().unwrap().success());
    }

    /// Address, kind, instance and version, as the plan has them.
    fn truth(&self) -> Vec<[String; 4]> {
        let text = std::fs::read_to_string(self.path("truth.tsv")).unwrap();
        let row = |line: &str| line.split('\t').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
        text.lines().map(row).collect()
    }

    /// What should be counted: the addresses of each instance with its version, decoys marked.
    fn expected(&self) -> BTreeSet<String> {
        let mut instances: BTreeMap<String, (BTreeSet<String>, String, bool)> = BTreeMap::new();
        for [address, kind, instance, version] in self.truth() {
            if kind == "product" || kind == "decoy" {
                let known = instances.entry(instance).or_default();
                known.0.insert(format!("{address}:443"));
                (known.1, known.2) = (version, kind == "decoy");
            }
        }
        let all = instances.into_values();
        all.map(|(addresses, version, is_decoy)| shown(&addresses, Some(&version), is_decoy)).collect()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = self.script("down").status();
    }
}

/// What one count said.
struct Counted {
    instances: Vec<Instance>,
    merges: Vec<Merge>,
    ledger: Ledger,
    gaps: BTreeMap<String, usize>,
}

impl Counted {
    fn of(output: &Output) -> Self {
        let mut counted = Self { instances: vec![], merges: vec![], ledger: Ledger::default(), gaps: BTreeMap::new() };
        for record in records(output) {
            match record.body {
                Body::Instance(instance) => counted.instances.push(instance),
                Body::Merge(merge) => counted.merges.push(merge),
                Body::Ledger(ledger) => counted.ledger = ledger,
                Body::Gap(gap) => *counted.gaps.entry(gap.code).or_default() += 1,
                _ => {}
            }
        }
        counted
    }

    /// Each instance with addresses, version, and whether it is a likely decoy; two that are the same stay two.
    fn shown(&self) -> Vec<String> {
        let one = |instance: &Instance| {
            let addresses = instance.addresses.iter().cloned().collect();
            shown(&addresses, instance.version.value.as_deref(), !instance.decoy.is_empty())
        };
        let mut all: Vec<String> = self.instances.iter().map(one).collect();
        all.sort();
        all
    }

    /// Answered, identified, refused, filtered, silent, not asked, in no state.
    fn sums(&self) -> [u64; 7] {
        let Ledger { answered, identified, refused, filtered, silent, not_asked, .. } = self.ledger;
        [answered, identified, refused, filtered, silent, not_asked, self.ledger.unaccounted()]
    }
}

fn shown(addresses: &BTreeSet<String>, version: Option<&str>, is_decoy: bool) -> String {
    let addresses = addresses.iter().cloned().collect::<Vec<_>>().join(",");
    format!("{addresses} {}{}", version.unwrap_or("-"), if is_decoy { " decoy" } else { "" })
}

const SUMS: [u64; 7] = [300, 34, 200, 24, 500, 0, 0];

#[test]
fn the_count_is_exact_in_ten_runs_and_in_ten_more_where_one_packet_in_a_hundred_is_lost() {
    let Some(net) = Net::up(&[]) else { return };
    let expected: Vec<String> = net.expected().into_iter().collect();
    assert_eq!(expected.len(), 28, "24 instances and 4 decoys");
    for loss in ["0", "1"] {
        net.lose(loss);
        for run in 1..=10 {
            let counted = net.count("scope.toml", &[]);
            assert_eq!(counted.shown(), expected, "run {run}, {loss} % lost");
            assert_eq!(counted.sums(), SUMS, "run {run}, {loss} % lost");
            assert_eq!((counted.ledger.addresses, &counted.ledger.way), (1024, &Way::Packets));
            assert_eq!(counted.merges.len(), 3, "three instances have three addresses each");
            assert!(counted.merges.iter().all(|merge| merge.addresses.len() == 3 && !merge.reasons.is_empty()));
            // Two pairs share a key and are told apart; four answer for paths that do not exist.
            assert_eq!((counted.gaps.get("key-shared"), counted.gaps.get("decoy-suspected")), (Some(&2), Some(&4)));
        }
    }
}

#[test]
fn tarpits_and_slow_and_endless_hosts_change_no_count_and_cost_bounded_time() {
    let Some(net) = Net::up(&[("ODD", "1")]) else { return };
    let expected: Vec<String> = net.expected().into_iter().collect();
    let begun = Instant::now();
    let counted = net.count("scope.toml", &[]);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(counted.shown(), expected);
    assert_eq!(counted.sums(), SUMS);
    assert!(counted.gaps.contains_key("answer-too-large") && counted.gaps.contains_key("answer-timeout"));
}

#[test]
fn a_slow_rate_and_every_engine_give_the_same_count() {
    let Some(net) = Net::up(&[]) else { return };
    let expected: Vec<String> = net.expected().into_iter().collect();
    let scope = std::fs::read_to_string(net.path("scope.toml")).unwrap();
    // The far side counts what comes quicker than the slower of the rates, while that is the rate.
    for rate in ["2000", "500000"] {
        std::fs::write(net.path("other.toml"), scope.replace("rate = 50000", &format!("rate = {rate}"))).unwrap();
        if rate == "2000" {
            assert!(net.script("watch").arg(rate).status().unwrap().success());
        }
        let counted = net.count("other.toml", &[]);
        assert_eq!(counted.shown(), expected, "rate {rate}");
        let beyond = net.script("beyond").output().unwrap().stdout;
        let is_beyond = String::from_utf8(beyond).unwrap().trim() != "0";
        assert_eq!(is_beyond, rate != "2000", "packets beyond 2000 a second at a rate of {rate}");
    }
    let connected = net.count("scope.toml", &["--engine", "connect"]);
    assert_eq!(connected.shown(), expected);
    // Nobody can tell a host that drops from nobody by connecting.
    assert_eq!(connected.sums(), [300, 34, 200, 12, 512, 0, 0]);
    for engine in ["nmap", "zmap", "masscan"] {
        if !is_there(engine) {
            continue;
        }
        let counted = net.count("scope.toml", &["--engine", engine]);
        assert_eq!((counted.shown(), counted.sums()), (expected.clone(), SUMS), "{engine}");
        let Way::Engine { name, heard } = &counted.ledger.way else { panic!("{:?}", counted.ledger.way) };
        assert!(name == engine && *heard > 0, "{engine} heard {heard}");
    }
}

#[test]
fn without_the_right_to_send_packets_the_count_is_the_same_and_says_so() {
    let Some(net) = Net::up(&[]) else { return };
    let scope = net.path("scope.toml");
    let words = "setpriv --bounding-set=-net_raw --inh-caps=-net_raw".split(' ');
    let words: Vec<&str> = words
        .chain([env!("CARGO_BIN_EXE_portcullis"), "discover", "--json", "--pack", "packs/ed-21-03", "--scope"])
        .chain([arg(&scope)])
        .collect();
    let counted = Counted::of(&net.run(&words));
    assert_eq!(counted.shown(), net.expected().into_iter().collect::<Vec<_>>());
    assert!(matches!(&counted.ledger.way, Way::ConnectionsOnly { why } if why.contains("CAP_NET_RAW")));
    assert!(counted.ledger.to_string().contains("cannot tell hosts that drop from nobody"));
}

/// Whether a program is there; under `CI` it must be.
#[expect(clippy::print_stderr, reason = "a test that skips says so")]
fn is_there(program: &str) -> bool {
    let is_there = ["/usr/bin", "/usr/sbin"].iter().any(|folder| Path::new(folder).join(program).exists());
    assert!(is_there || std::env::var_os("CI").is_none(), "{program} is not installed");
    if !is_there {
        eprintln!("skipped: {program} is not installed");
    }
    is_there
}

#[test]
fn what_a_real_nmap_says_of_the_lab_is_the_same_instances() {
    let Some(net) = Net::up(&[]) else { return };
    if !is_there("nmap") {
        return;
    }
    let xml = net.path("scan.xml");
    let scan = "nmap -sS -Pn -n -T4 -p 443 --script http-title,ssl-cert 10.213.0.0/22 -oX".split(' ');
    let scan: Vec<&str> = scan.chain([arg(&xml)]).collect();
    assert!(net.run(&scan).status.success());
    // Beside our own count it adds nothing and contradicts nothing.
    let ours = net.count("scope.toml", &[]);
    let beside = net.count("scope.toml", &["--import", arg(&xml)]);
    assert_eq!((beside.shown(), beside.sums()), (ours.shown(), ours.sums()));
    assert_eq!((beside.ledger.imported, beside.gaps.get("import-contradicts")), (0, None));
    // Alone it is the same instances. It saw no versions, so that the pair of which one was updated looks like one.
    let alone = run(&["discover", "--json", "--pack", "ed-21-03", "--import", arg(&xml)]);
    let addresses = |counted: &Counted| -> BTreeSet<BTreeSet<String>> {
        counted.instances.iter().map(|instance| instance.addresses.iter().cloned().collect()).collect()
    };
    let alone = Counted::of(&alone);
    let mut expected = addresses(&ours);
    let truth = net.truth();
    let is_pair = |row: &&[String; 4]| row[2] == "vpn07" || row[2] == "vpn08";
    let pair: BTreeSet<String> = truth.iter().filter(is_pair).map(|row| format!("{}:443", row[0])).collect();
    expected.retain(|addresses| addresses.is_disjoint(&pair));
    expected.insert(pair);
    assert_eq!(addresses(&alone), expected);
    assert_eq!(alone.instances.len(), 27);
}

#[test]
fn the_ledger_says_what_is_different_from_the_last_count_and_who_reports() {
    let Some(net) = Net::up(&[]) else { return };
    let scope = net.path("scope.toml");
    let program = env!("CARGO_BIN_EXE_portcullis");
    let words = [program, "discover", "--json", "--pack", "packs/ed-21-03", "--scope", arg(&scope)];
    let before = net.path("before.jsonl");
    std::fs::write(&before, net.run(&words).stdout).unwrap();
    let same = net.count("scope.toml", &["--since", arg(&before)]);
    assert!(same.ledger.since.is_some_and(|since| since.is_empty()));
    // A person says that one instance is two, that two addresses are elsewhere, and takes one out.
    let truth = net.truth();
    let of = |name: &str| truth.iter().filter(|row| row[2] == name).map(|row| row[0].clone()).collect::<Vec<_>>();
    let (three, gone, hosted) = (of("vpn00"), of("vpn03"), of("vpn04"));
    let text = format!(
        "{}exclude = [\"{}\"]\n[[apart]]\naddresses = [\"{}:443\", \"{}:443\"]\nwhy = \"a pair\"\n[[instance]]\n\
         name = \"hosted\"\naddress = \"{}:443\"\n\
         owner = {{ kind = \"third-party\", commercial = true, name = \"Host\" }}\n\
         [[instance]]\nname = \"elsewhere\"\n\
         owner = {{ kind = \"third-party\", commercial = false, name = \"Agency\" }}\n",
        std::fs::read_to_string(&scope).unwrap(),
        gone[0],
        three[0],
        three[2],
        hosted[0]
    );
    std::fs::write(net.path("other.toml"), text).unwrap();
    let now = net.count("other.toml", &["--since", arg(&before)]);
    let since = now.ledger.since.unwrap();
    let new = |at: &str| since.new.contains(&at.to_owned());
    assert!(new(&format!("{}:443", three[2])) && new("hosted") && new("elsewhere"), "{since:?}");
    assert!(since.gone.contains(&format!("{}:443", gone[0])), "{since:?}");
    let shown = run_text(&net, &["--scope", arg(&net.path("other.toml"))]);
    for line in ["1 of them run by Agency: it reports them itself", "1 of them run by Host: you report them"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(shown.contains("29 instances: 28 identified, 1 third-party"), "{shown}");
    assert!(shown.contains("1 excluded"), "{shown}");
}

/// What a person sees.
fn run_text(net: &Net, more: &[&str]) -> String {
    let mut words = vec![env!("CARGO_BIN_EXE_portcullis"), "discover", "--pack", "packs/ed-21-03"];
    words.extend(more);
    stdout(&net.run(&words))
}

#[test]
fn real_vpn_daemons_answer_over_udp_and_what_is_silent_by_design_is_said() {
    let Some(net) = Net::up(&[("VPN", "1")]) else { return };
    let running = std::fs::read_to_string(net.path("vpn.tsv")).unwrap();
    let runs = |name: &str| running.lines().any(|line| line == name);
    let all = ["ocserv", "openvpn", "strongswan", "dtls", "wireguard", "openvpn_silent", "front", "ssh"];
    assert!(std::env::var_os("CI").is_none() || all.iter().all(|name| runs(name)), "{running}");
    let pack = vpn_packs(&net);
    let mut packs: Vec<&str> = pack.iter().flat_map(|path| ["--pack", arg(path)]).collect();
    packs.extend(["--pack", "packs/openssh-cve-2024-6387"]);
    // Counting leaves nothing behind in a daemon that would make it silent to the next count.
    let counts: Vec<Counted> = (0..4).map(|_| net.count("vpn.toml", &packs)).collect();
    let seen = |counted: &Counted| {
        let of = |one: &Instance| (one.addresses.clone(), one.product.clone());
        (counted.ledger.udp.clone(), counted.instances.iter().map(of).collect::<BTreeSet<_>>())
    };
    for again in &counts[1..] {
        assert_eq!(seen(again), seen(&counts[0]));
    }
    let counted = &counts[0];
    let udp = counted.ledger.udp.clone().unwrap();
    assert_eq!(udp.asked, 55);
    assert_eq!(udp.asked, udp.answered + udp.refused + udp.filtered + udp.silent + udp.not_asked);
    let found = |name: &str| {
        let mut at: Vec<&str> = Vec::new();
        let of = counted.instances.iter().filter(|instance| instance.product.as_deref() == Some(name));
        of.for_each(|instance| at.extend(instance.addresses.iter().map(String::as_str)));
        at.sort_unstable();
        at.join(" ")
    };
    if runs("strongswan") {
        assert_eq!(found("strongSwan"), "198.51.100.3:4500/udp 198.51.100.3:500/udp");
        // The same daemon, where it knows the first version of IKE only, refuses what it is offered.
        assert_eq!(found("Old IKE"), "198.51.100.11:4500/udp 198.51.100.11:500/udp");
        assert_eq!((udp.kinds.get("IKEv2"), udp.kinds.get("IKEv1")), (Some(&2), Some(&2)));
        // Each count asked main mode once on each of two ports, of nobody who knows the second version; none was taken.
        let said = std::fs::read_to_string(net.path("charon.said")).unwrap();
        let times = |words: &str| said.matches(words).count();
        assert_eq!((times("parsed ID_PROT request"), times("generating ID_PROT response")), (8, 0));
        assert_eq!(times("received packet: from 192.0.2.1") - times("parsed IKE_SA_INIT request"), 8);
        // Who refuses in silence is asked once with what is common, and names its vendor.
        let silent = net.count("vpn-silent.toml", &packs);
        let named = |one: &Instance| (one.name.clone(), one.product.clone());
        let expected = ("198.51.100.12:500/udp".to_owned(), Some("strongSwan".to_owned()));
        assert_eq!(silent.instances.iter().map(named).collect::<Vec<_>>(), [expected]);
        let said = std::fs::read_to_string(net.path("charon.said")).unwrap();
        assert_eq!(said.matches("generating ID_PROT response").count(), 1);
    }
    if runs("openvpn") {
        assert_eq!(found("OpenVPN"), "198.51.100.2:1194/udp");
    }
    if runs("dtls") {
        assert_eq!(udp.kinds.get("DTLS"), Some(&1));
    }
    // WireGuard, OpenVPN with a key of its own, and ocserv, which answers sessions that it knows.
    if runs("wireguard") {
        assert_eq!(udp.silent, 3);
    }
    assert_eq!(counted.ledger.unseen, ["WireGuard"]);
    // One sshd at two addresses is one instance; the front beside it is none of the products.
    if runs("ssh") {
        assert_eq!(found("OpenSSH"), "198.51.100.10:22 198.51.100.9:22");
        assert_eq!(counted.instances.iter().filter(|one| one.product.as_deref() == Some("OpenSSH")).count(), 1);
    }
    let at_front = |address: &String| address.starts_with("198.51.100.8:");
    assert!(!counted.instances.iter().any(|one| one.product.is_some() && one.addresses.iter().any(at_front)));
}

/// Packs that look for VPN daemons, made from one of ours.
fn vpn_packs(net: &Net) -> Vec<PathBuf> {
    let make = |id: &str, product: &str, probes: &str| {
        let folder = net.path(id);
        std::fs::create_dir_all(folder.join("fingerprints")).unwrap();
        let ours = root().join("packs/openssh-cve-2024-6387");
        for name in ["directive.toml", "report.toml", "SOURCES.md"] {
            let text = std::fs::read_to_string(ours.join(name)).unwrap();
            std::fs::write(folder.join(name), text.replace("openssh-cve-2024-6387", id)).unwrap();
        }
        std::fs::write(folder.join("product.toml"), product).unwrap();
        std::fs::write(folder.join("fingerprints/probes.toml"), probes).unwrap();
        folder
    };
    let probe = |over: &str, banner: &str| {
        format!("[[probe]]\nid = \"first\"\nover = \"{over}\"\nidentifies = [{{ banner = '{banner}' }}]\n")
    };
    vec![
        // Its vendor id is the MD5 of "strongSwan".
        make(
            "strongswan",
            "name = \"strongSwan\"\nvendor = \"strongSwan\"",
            &probe("ike", "vendor=882fe56d6fd20dbc2251613b2ebe5beb"),
        ),
        make("old-ike", "name = \"Old IKE\"\nvendor = \"Old\"", &probe("ike", "^IKEv1 notify=14$")),
        make("openvpn", "name = \"OpenVPN\"\nvendor = \"OpenVPN\"", &probe("openvpn", "^OpenVPN hard-reset$")),
        make("wireguard", "name = \"WireGuard\"\nvendor = \"WireGuard\"\nsilent-by-design = true", ""),
    ]
}
