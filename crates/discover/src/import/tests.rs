//! Tests: is each file read as its tool means it, whatever stands in it?

use super::*;

fn read(name: &str, text: &str) -> Result<Import, Error> {
    Import::read(name, text.as_bytes(), &Columns::new(), &Limits::default())
}

/// Kind, then one claim a line, then names.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let import = read("file", text).unwrap();
    let mut shown = vec![import.kind.as_str().to_owned()];
    shown.extend(import.claims.iter().map(show));
    shown.extend(import.names.iter().map(|name| format!("name {name}")));
    if import.strange + import.beyond > 0 {
        shown.push(format!("{} strange, {} beyond", import.strange, import.beyond));
    }
    assert_eq!(shown, expected);
}

fn show(claim: &Claim) -> String {
    let port = claim.port.map(|port| format!(":{port}")).unwrap_or_default();
    let at = claim.at.map(|at| format!(" at {at}")).unwrap_or_default();
    let state = match claim.state {
        Port::Open => "",
        Port::Closed => " closed",
        Port::Filtered => " filtered",
    };
    let product = claim.product.iter().chain(&claim.version).map(|text| format!(" {text}")).collect::<String>();
    let cpe = claim.cpe.iter().map(|cpe| format!(" {cpe}")).collect::<String>();
    let texts = claim.texts.iter().map(|(kind, text)| format!(" {kind}={text}")).collect::<String>();
    let names = claim.names.iter().map(|name| format!(" ({name})")).collect::<String>();
    format!("{}{port}{state}{product}{cpe}{texts}{names}{at}", claim.address)
}

const NMAP: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<nmaprun scanner="nmap" args="nmap -sV -oX - 192.0.2.7" start="1618920000" version="7.93">
<host starttime="1618920000" endtime="1618920100"><status state="up"/>
<address addr="192.0.2.7" addrtype="ipv4"/><address addr="02:00:00:00:00:01" addrtype="mac" vendor="x"/>
<hostnames><hostname name="vpn.example.org" type="PTR"/></hostnames>
<ports>
<port protocol="tcp" portid="22"><state state="open" reason="syn-ack"/>
<service name="ssh" product="OpenSSH" version="9.2p1 Debian 2+deb12u3">
<cpe>cpe:/a:openbsd:openssh:9.2p1</cpe></service></port>
<port protocol="tcp" portid="443"><state state="open"/><service name="http" tunnel="ssl"/>
<script id="http-title" output="Gate &amp; more&#xa;Requested resource was /x"/>
<script id="ssl-cert"
 output="Subject: commonName=gate.example.org/organizationName=E&#xa;Subject Alternative Name: DNS:a.example.org"/>
</port>
<port protocol="tcp" portid="80"><state state="closed"/></port>
<port protocol="udp" portid="500"><state state="open|filtered"/></port>
</ports></host></nmaprun>"#;

#[test]
fn nmap_tells_ports_products_names_and_titles() {
    check(
        NMAP,
        &[
            "nmap",
            "192.0.2.7:22 OpenSSH 9.2p1 Debian 2+deb12u3 cpe:/a:openbsd:openssh:9.2p1 (vpn.example.org) \
             at 2021-04-20T12:01:40Z",
            "192.0.2.7:443 html_title=Gate & more (gate.example.org) (a.example.org) (vpn.example.org) \
             at 2021-04-20T12:01:40Z",
            "192.0.2.7:80 closed (vpn.example.org) at 2021-04-20T12:01:40Z",
        ],
    );
}

#[test]
fn a_scan_that_was_interrupted_counts_as_far_as_it_went() {
    let (half, _) = NMAP.split_once("<port protocol=\"udp\"").unwrap();
    let import = read("half.xml", half).unwrap();
    assert_eq!((import.claims.len(), import.strange), (3, 1));
}

#[test]
fn entities_that_a_document_defines_are_not_expanded() {
    let bomb = "<!DOCTYPE nmaprun [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]>\
                <nmaprun><host><address addr=\"192.0.2.7\"/><ports><port portid=\"1\"><state state=\"open\"/>\
                <service product=\"&b;\"/></port></ports></host></nmaprun>";
    check(bomb, &["nmap", "192.0.2.7:1"]);
    let file = bomb.replace("\"aaaaaaaaaa\"", "SYSTEM \"file:///etc/passwd\"");
    check(&file, &["nmap", "192.0.2.7:1"]);
}

#[test]
fn masscan_is_read_with_the_end_that_its_old_versions_wrote() {
    let one = r#"{"ip": "192.0.2.7", "timestamp": "1618920000", "ports": [ {"port": 443, "proto": "tcp",
"status": "open", "reason": "syn-ack", "ttl": 64} ] }"#;
    let two = r#"{"ip": "192.0.2.8", "timestamp": "1618920000", "ports": [ {"port": 22, "proto": "tcp",
"service": {"name": "ssh", "banner": "SSH-2.0-OpenSSH_9.2p1"}} ] }"#;
    let expected = [
        "masscan",
        "192.0.2.7:443 at 2021-04-20T12:00:00Z",
        "192.0.2.8:22 ssh.banner=OpenSSH_9.2p1 at 2021-04-20T12:00:00Z",
    ];
    check(&format!("[\n{one},\n{two}\n]\n"), &expected);
    check(&format!("[\n{one},\n{two},\n]\n"), &expected);
    check(&format!("[\n{one},\n{two},\n{{finished: 1}}\n]\n"), &expected);
}

#[test]
fn damage_in_a_list_is_told_whatever_its_end_looks_like() {
    let one = r#"{"ip": "192.0.2.7", "ports": [{"port": 443}]}"#;
    for text in [
        format!("[\n{one},\n"),
        format!("[\n{one},\ndamage,\n{one},\n]\n"),
        format!("[\n{one},\ndamage,\n{one},\n{{finished: 1}}\n]\n"),
        format!("[\n{one},\n{one}"),
        format!("{one}\ndamage\n{one}\n"),
    ] {
        let import = read("scan.json", &text).unwrap();
        assert_eq!(import.strange, 1, "{text}");
    }
}

#[test]
fn shodan_is_read_one_object_a_line() {
    let one = r#"{"ip_str":"192.0.2.7","port":443,"transport":"tcp","product":"Gate","version":"9.1",
"hostnames":["gate.example.org"],"timestamp":"2021-04-20T12:00:00.5","cpe23":["cpe:2.3:a:e:gate"],
"http":{"title":"Gate","server":"x"}}"#;
    let expected = "192.0.2.7:443 Gate 9.1 cpe:2.3:a:e:gate html_title=Gate http_header.server=x (gate.example.org) \
                    at 2021-04-20T12:00:00.5Z";
    check(&format!("{one}\n{one}\n"), &["Shodan", expected, expected]);
}

#[test]
fn censys_is_read_with_all_services_of_a_host() {
    let host = r#"{"ip":"192.0.2.7","last_updated_at":"2021-04-20T12:00:00Z","dns":{"names":["gate.example.org"]},
"services":[{"port":443,"transport_protocol":"TCP","software":[{"vendor":"e","product":"gate","version":"9",
"uniform_resource_identifier":"cpe:2.3:a:e:gate:9"}]},{"port":500,"transport_protocol":"UDP"}]}"#;
    check(
        &format!("[{host}]"),
        &["Censys", "192.0.2.7:443 gate 9 cpe:2.3:a:e:gate:9 (gate.example.org) at 2021-04-20T12:00:00Z"],
    );
}

#[test]
fn certificates_tell_names_without_addresses() {
    let text = r#"[{"issuer_name":"C=US","common_name":"vpn.example.org",
"name_value":"*.example.org\nVPN2.example.org.",
"entry_timestamp":"2021-04-20T12:00:00"},{"name_value":"someone@example.org"}]"#;
    check(text, &["certificates", "name example.org", "name vpn.example.org", "name vpn2.example.org"]);
}

#[test]
fn a_table_is_told_by_its_columns() {
    check(
        "Hostname;IP Address;Port\nvpn;192.0.2.7;443\n;2001:db8::7;\n",
        &["table", "192.0.2.7:443 (vpn)", "2001:db8::7"],
    );
    check("address,version\n192.0.2.7:443,9.1\nnone,1\n", &["table", "192.0.2.7:443 9.1", "1 strange, 0 beyond"]);
    let columns = Columns::from([("address".to_owned(), "Where".to_owned())]);
    let table = Import::read("t.csv", b"what,where\nx,192.0.2.7\n", &columns, &Limits::default()).unwrap();
    assert_eq!(table.claims.len(), 1);
    let error = Import::read("t.csv", b"what\nx\n", &columns, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("no column \"Where\""), "{error}");
}

#[test]
fn a_zone_tells_names_and_addresses_and_includes_nothing() {
    let zone = "$ORIGIN example.org.\n$TTL 3600\n@ IN SOA ns hostmaster 1 2 3 4 5\nvpn IN A 192.0.2.7\n\
                \tIN AAAA 2001:db8::7\nold IN CNAME vpn\n$INCLUDE /etc/passwd\nb IN A 192.0.2.8\n";
    check(
        zone,
        &[
            "zone file",
            "192.0.2.7 (vpn.example.org)",
            "2001:db8::7 (vpn.example.org)",
            "192.0.2.8 (b.example.org)",
            "name example.org",
            "name old.example.org",
            "1 strange, 0 beyond",
        ],
    );
}

#[test]
fn what_is_none_of_them_is_refused_with_what_was_looked_for() {
    for (text, expected) in [
        ("", "a column `address`"),
        ("hello\nworld\n", "a column `address`"),
        ("<html></html>", "first element is not `nmaprun`"),
        ("{\"a\": 1}", "none of these: masscan"),
        ("[1, 2", "begins like JSON and is none"),
        ("<", "is broken"),
    ] {
        let error = read("x", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn too_many_claims_are_counted_and_not_kept() {
    let limits = Limits { claims: 2, text: 3, ..Limits::default() };
    let table = "address,name\n192.0.2.1,abcdef\n192.0.2.2,\n192.0.2.3,\n";
    let import = Import::read("t", table.as_bytes(), &Columns::new(), &limits).unwrap();
    assert_eq!((import.claims.len(), import.beyond, import.claims[0].names[0].as_str()), (2, 1, "abc"));
    let small = Limits { bytes: 3, ..Limits::default() };
    let error = Import::read("t", table.as_bytes(), &Columns::new(), &small).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
}

proptest::proptest! {
    #[test]
    fn whatever_stands_in_a_file_is_read_or_refused(
        parts in proptest::collection::vec(
            proptest::prop_oneof![
                proptest::sample::select(vec![
                    NMAP, "<nmaprun>", "<host>", "<port portid=\"1\"/>", "[", "{\"ip\":\"192.0.2.7\",",
"\"ports\":[]}",
                    "{\"ip_str\":\"::1\",\"port\":7}", "]", "{finished: 1}", "$ORIGIN a.\n", "@ IN A 192.0.2.7\n",
                    "$TTL 1\n", "address,port\n", "192.0.2.7,1\n", "(", "\"", "\n", ";",
                ]).prop_map(str::to_owned),
                "[ -~\n]{0,8}",
            ],
            0..12,
        ),
    ) {
        let _ = read("any", &parts.concat());
    }
}

use proptest::strategy::Strategy as _;
