//! `discover`: do the results of other tools count, alone and beside a scope, and is told what answers otherwise?

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use directive::record::InstanceState;

use super::*;

/// A web server in the clear, which gives every path its answer until the test ends.
fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut heard = [0; 4096];
            let length = stream.read(&mut heard).unwrap_or(0);
            let request = String::from_utf8_lossy(&heard[..length]);
            let path = request.split(' ').nth(1).filter(|_| heard[0] != 0x16).unwrap_or_default();
            let body = answer(path);
            let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nServer: Gate/7.1\r\nContent-Length: {}\r\n", body.len());
            let _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes());
        }
    });
    at
}

fn scope_of(dir: &Path, at: SocketAddr) -> PathBuf {
    let path = dir.join("scope.toml");
    let text = format!("organisation = \"Example Agency\"\n[[instance]]\nname = \"vpn1\"\naddress = \"{at}\"\n");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_published_database_gives_a_name_to_what_no_pack_knows() {
    let dir = tempfile::tempdir().unwrap();
    let scope = scope_of(dir.path(), serve(|_| String::new()));
    let recog = dir.path().join("xml");
    std::fs::create_dir(&recog).unwrap();
    let empty = run(&["discover", "--pack", "ed-21-03", "--scope", arg(&scope), "--recog", arg(&recog)]);
    assert_eq!(empty.status.code(), Some(2));
    assert!(stderr(&empty).contains("holds no databases"), "{}", stderr(&empty));
    let database = r#"<fingerprints matches="http_header.server" protocol="http">
        <fingerprint pattern="^Gate/([\d.]+)$"><description>Gate</description>
        <param pos="0" name="service.vendor" value="Example"/><param pos="0" name="service.product" value="Gate"/>
        <param pos="1" name="service.version"/>
        <param pos="0" name="service.cpe23" value="cpe:/a:example:gate:{service.version}"/>
        </fingerprint></fingerprints>"#;
    std::fs::write(recog.join("servers.xml"), database).unwrap();
    let text = run(&["discover", "--pack", "ed-21-03", "--scope", arg(&scope), "--recog", arg(&recog)]);
    let expected = "it is declared as an instance and answers as Example Gate 7.1 (cpe:2.3:a:example:gate:7.1:";
    assert!(stdout(&text).contains(expected), "{}", stdout(&text));
    let named = std::fs::read_to_string(&scope).unwrap();
    std::fs::write(&scope, named.replacen("[[", "recog = [\"xml\"]\n[[", 1)).unwrap();
    let of_scope = run(&["discover", "--pack", "ed-21-03", "--scope", arg(&scope)]);
    assert!(stdout(&of_scope).contains(expected), "{}", stdout(&of_scope));
    std::fs::write(recog.join("broken.xml"), "<fingerprints").unwrap();
    let broken = run(&["discover", "--pack", "ed-21-03", "--scope", arg(&scope), "--recog", arg(&recog)]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(stderr(&broken).contains("broken.xml:1"), "{}", stderr(&broken));
}

#[test]
fn two_witnesses_that_cannot_both_be_right_are_a_finding_of_a_count() {
    let dir = tempfile::tempdir().unwrap();
    let at = serve(|path| match path {
        "/dana-na/nc/nc_gina_ver.txt" => "<PARAM NAME=\"ProductVersion\" VALUE=\"9.1.12.1\">".to_owned(),
        "/dana-cached/hc/HostCheckerInstaller.osx" => "<key>version</key><string>9.1.9.1</string>".to_owned(),
        _ => String::new(),
    });
    let scope = scope_of(dir.path(), at);
    let output = run(&["discover", "--json", "--pack", "ed-21-03", "--scope", arg(&scope)]);
    let records = records(&output);
    let finding = records.iter().find_map(|record| match &record.body {
        Body::Finding(finding) if finding.code == "version-disagrees" => Some(finding),
        _ => None,
    });
    let finding = finding.unwrap_or_else(|| panic!("{}", stdout(&output)));
    assert!(finding.why.contains("9.1R12") && finding.why.contains("9.1R9"), "{finding:?}");
    assert_eq!(output.status.code(), Some(1), "the worst witness decides");
}

#[test]
fn a_table_alone_is_counted_and_nothing_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("list.csv");
    std::fs::write(&table, "Where,Software,Build\n192.0.2.7:443,Pulse Connect Secure,9.1R8\n192.0.2.8,,\n").unwrap();
    let columns = "address=Where,product=Software,version=Build";
    let output = run(&["discover", "--json", "--pack", "ed-21-03", "--import", arg(&table), "--columns", columns]);
    let records = records(&output);
    let instance = records.iter().find_map(|record| match &record.body {
        Body::Instance(instance) => Some(instance),
        _ => None,
    });
    let instance = instance.unwrap_or_else(|| panic!("{}", stdout(&output)));
    assert_eq!((instance.name.as_str(), instance.state), ("192.0.2.7:443", InstanceState::Imported));
    assert_eq!(instance.version.value.as_deref(), Some("9.1R8"));
    let ledger = records.iter().find_map(|record| match &record.body {
        Body::Ledger(ledger) => Some(ledger),
        _ => None,
    });
    assert!(ledger.is_some_and(|ledger| (ledger.connections, ledger.imported) == (0, 1)));
    assert_eq!(output.status.code(), Some(1), "an affected instance is known");
    let text = stdout(&run(&["discover", "--pack", "ed-21-03", "--import", arg(&table), "--columns", columns]));
    assert!(text.contains("1 more known by import only"), "{text}");
}

#[test]
fn a_file_of_no_known_tool_and_a_column_that_is_not_there_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "hello\n").unwrap();
    let output = run(&["discover", "--pack", "ed-21-03", "--import", arg(&file)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--columns address=NAME"), "{}", stderr(&output));
    let output = run(&["discover", "--pack", "ed-21-03", "--import", arg(&file), "--columns", "where=x"]);
    assert!(stderr(&output).contains("is none of address"), "{}", stderr(&output));
    assert!(stderr(&run(&["discover", "--pack", "ed-21-03"])).contains("--scope"), "one of them is needed");
}
