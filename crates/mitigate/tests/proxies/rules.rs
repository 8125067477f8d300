//! Rules: how many of a hundred disguised requests does each engine refuse, and how many of ten neighbours?
//!
//! Five patterns in twenty spellings, and ten addresses that only look alike. Peers on the same measure: HAProxy
//! `path_beg` 30, the vendor's expression on nginx 45, ModSecurity without transformations 65, HAProxy normalised 85,
//! nginx locations and ModSecurity normalised 95, each with one neighbour wrongly refused.

use directive::change::Kind;
use mitigate::engine::{Rule, modsecurity, suricata};

use super::lenient::is_feature;
use super::proxy::{Front, is_there};
use super::*;

pub(crate) const PATTERNS: [&str; 5] =
    ["/dana/meeting", "/dana/fb/smb", "/dana-cached/fb/smb", "/dana-ws/namedusers", "/dana-ws/metric"];

/// Twenty spellings of a path, as whole requests without their host.
pub(crate) fn spellings(path: &str) -> Vec<(String, String)> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let join = |separator: &str| format!("{separator}{}", segments.join(separator));
    let (head, last) = path.rsplit_once('/').unwrap();
    let letter = |text: &str| format!("{head}/{text}{}", &last[1..]);
    let byte = last.as_bytes()[0];
    let capital = path.to_uppercase();
    let get = |target: String| (format!("GET {target} HTTP/1.1\r\n"), "\r\n".to_owned());
    let mut all: Vec<(String, String)> = [
        path.to_owned(),
        join("//"),
        join("/./"),
        format!("/x/..{path}"),
        format!("/x/%2e%2e{path}"),
        letter(&format!("%{byte:02x}")),
        letter(&format!("%25{byte:02x}")),
        format!("/{}", segments.join("%2f")),
        format!("/{}", segments.join("%252f")),
        capital,
        format!("{path};v=1"),
        join(";v=1/"),
        format!("http://vpn.agency.example{path}"),
        format!("/{}", segments.join("\\")),
        format!("/{}", segments.join("%5c")),
    ]
    .into_iter()
    .map(get)
    .collect();
    all.push((format!("POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"), "\r\n1\r\nx\r\n0\r\n\r\n".into()));
    all.push((format!("GET / HTTP/1.1\r\nX-Rewrite-URL: {path}\r\n"), "\r\n".into()));
    all.push((format!("GET / HTTP/1.1\r\nX-Original-URL: {path}\r\n"), "\r\n".into()));
    all.push((format!("PROPFIND {path} HTTP/1.1\r\nContent-Length: 0\r\n"), "\r\n".into()));
    all.push((format!("GET {path} HTTP/1.0\r\n"), "\r\n".into()));
    assert_eq!(all.len(), 20);
    all
}

pub(crate) const NEIGHBOURS: [&str; 10] = [
    "/dana-na/auth/url_default/welcome.cgi",
    "/dana/meetings-help.html",
    "/dana/meeting-rooms/list.cgi",
    "/dana/home/index.cgi?next=/dana/meeting",
    "/dana/fb/nfs/nfb.cgi?dir=%2Fdana%2Ffb%2Fsmb",
    "/dana-cached/hc/HostCheckerInstaller.osx",
    "/dana-ws/metrics-help.html",
    "/help/dana/meeting.html",
    "/dana/fb/smb2/index.cgi",
    "/dana/fb/nfs/100%25%20done;v=1/r%C3%A9sum%C3%A9.pdf",
];

/// How many of a hundred reach the feature, and which neighbours do not reach the product.
fn measure(front: &Front) -> (usize, Vec<&'static str>) {
    let before = front.product.reached().len();
    for (head, rest) in PATTERNS.iter().flat_map(|path| spellings(path)) {
        front.send(format!("{head}Host: vpn.agency.example\r\nConnection: close\r\n{rest}").as_bytes());
    }
    let reached = front.product.reached().len() - before;
    let refused = NEIGHBOURS.into_iter().filter(|path| !front.ask(path).starts_with("HTTP/1.1 200")).collect();
    (reached, refused)
}

#[test]
fn the_hundred_disguises_all_reach_the_feature_where_nothing_stands_before_it() {
    for (head, _) in PATTERNS.iter().flat_map(|path| spellings(path)) {
        let target = head.split(' ').nth(1).unwrap();
        let named = head.lines().find_map(|line| line.strip_prefix("X-")).and_then(|line| line.split_once(": "));
        assert!(is_feature(target.as_bytes()) || named.is_some_and(|(_, path)| is_feature(path.as_bytes())), "{head}");
    }
    assert!(NEIGHBOURS.iter().all(|path| !is_feature(path.as_bytes())));
}

#[test]
fn a_hundred_of_a_hundred_are_refused_and_none_of_ten_neighbours() {
    for kind in [Kind::Nginx, Kind::Haproxy] {
        let Some(front) = Front::start(kind, false) else { continue };
        let (open, _) = measure(&front);
        let mut notes = Notes::default();
        apply(&front, &planned(&front).unwrap(), &mut notes).unwrap();
        let (reached, refused) = measure(&front);
        front.note(&format!(
            "{open} of 100 reached the feature before, {reached} after; refused neighbours: {refused:?}"
        ));
        assert_eq!((reached, refused), (0, vec![]), "{kind:?}");
        assert!(open >= 90, "{open} reached it before");
    }
}

#[test]
fn modsecurity_with_the_exported_rules_refuses_a_hundred_of_a_hundred_and_no_neighbour() {
    let module = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so";
    if !is_there("nginx") || !is_there(module) {
        return;
    }
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let pack = pack();
    let rule = Rule { pack: pack.id(), workaround: pack.workaround("2104").unwrap() };
    let rules = front.settings().join("rules");
    std::fs::write(&rules, format!("SecRuleEngine On\n{}", modsecurity::rules(&rule, 1_210_400))).unwrap();
    let text = std::fs::read_to_string(&front.config).unwrap();
    let on = format!("http {{ modsecurity on; modsecurity_rules_file {};", rules.display());
    std::fs::write(&front.config, format!("load_module {module};\n{}", text.replace("http {", &on))).unwrap();
    // A module is loaded at a start only where the old processes end first.
    let checked = Command::new("nginx").args(["-t", "-q", "-c", front.config.to_str().unwrap()]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    front.reload();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !front.ask("/dana/meeting").starts_with("HTTP/1.1 403") && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(measure(&front), (0, vec![]));
}

#[test]
fn the_vendors_file_counts_when_the_product_itself_refuses_and_not_before() {
    let Some(front) = Front::start(Kind::Nginx, false) else { return };
    let (pack, scope) = (pack(), scope(&front));
    let request = request(&front, &pack, Kind::VendorFile);
    let change = plan::vendor_file(&request, &scope, b"<configuration/>").unwrap();
    assert!(change.notes.iter().any(|note| note.contains("Nobody has published the digest")), "{:?}", change.notes);
    let mut notes = Notes::default();
    assert!(matches!(apply(&front, &change, &mut notes), Err(Error::NotProved(_))));
    // What stands before the product in this test stands for a product that refuses.
    apply(&front, &planned(&front).unwrap(), &mut Notes::default()).unwrap();
    assert!(apply(&front, &change, &mut notes).unwrap().holds);
    assert_eq!(notes.stages(), [Stage::Approved, Stage::Failed, Stage::Approved, Stage::Applied]);
}

#[test]
fn rules_for_suricata_have_one_buffer_and_no_character_that_ends_an_option() {
    let pack = pack();
    let rule = Rule { pack: pack.id(), workaround: pack.workaround("2104").unwrap() };
    let text = suricata::rules(&rule, 1_210_400);
    for line in text.lines().skip(1) {
        let expressions = line.split("pcre:\"").skip(1).map(|rest| rest.split("\"; ").next().unwrap());
        for expression in expressions {
            let inner = expression.strip_prefix('/').and_then(|rest| rest.strip_suffix("/i")).unwrap();
            assert!(!inner.contains(['/', ';', '"']), "{inner}");
        }
        assert!(line.starts_with("drop http any any -> any any (") && line.ends_with("rev:1;)"), "{line}");
    }
    assert!(text.lines().count() > 10);
}

use std::process::Command;
