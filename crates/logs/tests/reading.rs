//! Reading: which events are in a log of each format?

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input has failed")]

use logs::{Event, Report, Settings};

/// Reads a log and tells each event in one line: time, clock, action, who, from where, code, program.
fn read(text: &[u8]) -> (Vec<Event>, Report) {
    let mut events = Vec::new();
    let settings = Settings::new("2025-06-01T00:00:00Z".parse().unwrap());
    let report = logs::read(text, settings, &mut |event: Event| events.push(event));
    (events, report)
}

fn told(event: &Event) -> String {
    let at = event.at.map(|at| at.to_string()).unwrap_or_default();
    let who = event.actor.as_ref().map(|actor| {
        let realm = actor.realm.as_ref().map(|realm| format!("@{realm}")).unwrap_or_default();
        format!("{}{realm}", actor.user)
    });
    let from = event.address.map(|address| address.to_string());
    let parts = [who, from, event.code.clone(), event.program.clone()];
    let parts: Vec<String> = parts.into_iter().map(|part| part.unwrap_or("-".into())).collect();
    format!("{at} {:?} {:?} {}", event.clock, event.action, parts.join(" "))
}

#[track_caller]
fn check(log: &str, format: &str, expected: &[&str]) -> Vec<Event> {
    let (events, report) = read(log.as_bytes());
    let lines: Vec<String> = events.iter().map(told).collect();
    assert_eq!(lines, expected, "{log}");
    assert_eq!(report.format.map(|format| format!("{format:?}")).unwrap_or_default(), format);
    assert_eq!(report.strange, 0, "{report:?}");
    events
}

#[test]
fn a_pulse_appliance_says_who_logged_in() {
    check(
        "2021-04-08T11:47:51-07:00 192.0.2.10 PulseSecure: 2021-04-08 11:47:51 - ive - [198.51.100.7] Default \
         Network::alice(Users)[] - Primary authentication successful for alice/System Local from 198.51.100.7\n\
         2021-04-08T11:47:51-07:00 192.0.2.10 PulseSecure: 2021-04-08 11:47:51 - ive - [198.51.100.7] Default \
         Network::alice(Users)[Staff, VPN] - Login succeeded for alice/Users (session:00000000) from 198.51.100.7 \
         with Mozilla/5.0 (X11; Linux x86_64) Firefox/87.0.\n\
         <134>1 2021-10-19T09:18:34Z 192.0.2.10 PulseSecure - - - 2021-10-19 09:18:34 - gw - [127.0.0.1] \
         System()[] - Integrity Checker Tool: Periodic Scan Started!\n\
         2021-10-19T09:18:34Z gw PulseSecure: - - - 2021-10-19 09:18:34 - gw - [198.51.100.7] \
         Root::bob(Users (old))[Staff][s1] - Connection from IP 198.51.100.7 not authenticated yet \
         (URL=/dana-na/auth/welcome.cgi?p=forced-off)\n",
        "Syslog",
        &[
            "2021-04-08T18:47:51Z Zoned Login alice@Users 198.51.100.7 - PulseSecure",
            "2021-04-08T18:47:51Z Zoned Login alice@Users 198.51.100.7 AUT31504 PulseSecure",
            "2021-10-19T09:18:34Z Zoned IntegrityScan System 127.0.0.1 SYS32087 PulseSecure",
            "2021-10-19T09:18:34Z Zoned Request bob@Users (old) 198.51.100.7 AUT31556 PulseSecure",
        ],
    );
}

#[test]
fn a_pulse_appliance_says_the_same_in_welf() {
    let events = check(
        "2021-04-08T11:57:48-07:00 192.0.2.10 PulseSecure: id=firewall time=\"2021-04-08 11:57:48\" pri=6 \
         fw=10.0.0.9 vpn=ive ivs=Default Network user=alice realm=\"Admin Users\" roles=\"Staff, VPN\" proto=auth \
         src=198.51.100.7 dst= dstname= type=vpn op= arg=\"\" result= sent= rcvd= agent=\"\" duration= \
         msg=\"AUT24327: Primary authentication failed for alice/System Local from 198.51.100.7\"\n\
         2021-04-08T12:04:07-07:00 192.0.2.10 PulseSecure: id=firewall time=\"2021-04-08 12:04:07\" pri=6 \
         fw=10.0.0.9 vpn=ive ivs=Default Network user=admin realm=\"Admin Users\" roles=\".Administrators\" \
         type=mgmt msg=\"ADM20716: User Accounts modified. Added \"X\" with username bob to authentication server \
         System Local.\"\n",
        "Syslog",
        &[
            "2021-04-08T18:57:48Z Zoned LoginFailed alice@Admin Users 198.51.100.7 AUT24327 PulseSecure",
            "2021-04-08T19:04:07Z Zoned AccountChanged admin@Admin Users - ADM20716 PulseSecure",
        ],
    );
    assert_eq!(events[0].field("ivs"), Some("Default Network"));
    assert_eq!(events[0].actor.as_ref().unwrap().roles, ["Staff", "VPN"]);
}

#[test]
fn an_ssh_server_says_who_came_and_who_did_not() {
    check(
        "Apr  8 11:46:32 web sshd[812]: Accepted publickey for root from 203.0.113.9 port 52114 ssh2: ED25519 \
         SHA256:x\n\
         Apr  8 11:46:40 web sshd[813]: Failed password for invalid user admin from 203.0.113.9 port 4 ssh2\n\
         <38>Apr  8 11:46:41 web sshd-session[814]: Failed password for root from 2001:db8::1 port 4 ssh2\n\
         2025-04-08T11:46:42.123456+02:00 web sshd[812]: Disconnected from user root 203.0.113.9 port 52114\n\
         Apr  8 11:46:50 web sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id\n\
         Apr  8 11:46:51 web useradd[9]: new user: name=backup2, UID=0, GID=0, home=/home/backup2\n\
         Apr  8 11:46:52 web CRON[10]: (root) CMD (/tmp/.x/run)\n\
         Apr  8 11:46:53 web kernel: [ 12.5] web[77]: segfault at 0 ip 0000 sp 0000 error 4\n",
        "Syslog",
        &[
            "2025-04-08T11:46:32Z YearAssumed Login root 203.0.113.9 - sshd",
            "2025-04-08T11:46:40Z YearAssumed LoginFailed admin 203.0.113.9 - sshd",
            "2025-04-08T11:46:41Z YearAssumed LoginFailed root 2001:db8::1 - sshd-session",
            "2025-04-08T09:46:42.123456Z Zoned Logout root 203.0.113.9 - sshd",
            "2025-04-08T11:46:50Z YearAssumed Process alice - - sudo",
            "2025-04-08T11:46:51Z YearAssumed AccountChanged - - - useradd",
            "2025-04-08T11:46:52Z YearAssumed Process root - - CRON",
            "2025-04-08T11:46:53Z YearAssumed Crash - - - kernel",
        ],
    );
}

#[test]
fn structured_data_of_rfc_5424_is_not_part_of_the_message() {
    let events = check(
        "<34>1 2003-10-11T22:14:15.003Z mymachine su - ID47 [a@1 x=\"]\\\"\" y=\"2\"][b@1 z=\"3\"] \u{feff}(to root) \
         alice on /dev/pts/8\n",
        "Syslog",
        &["2003-10-11T22:14:15.003Z Zoned Login alice - - su"],
    );
    assert_eq!(events[0].message.as_str(), Some("(to root) alice on /dev/pts/8"));
    assert_eq!(events[0].field("structured-data"), Some("[a@1 x=\"]\\\"\" y=\"2\"][b@1 z=\"3\"]"));
}

#[test]
fn records_of_the_audit_daemon_become_one_event() {
    let events = check(
        "type=SYSCALL msg=audit(1712576792.123:55): arch=c000003e syscall=59 success=yes exit=0 a0=55 a1=66 ppid=7 \
         pid=8 auid=1000 uid=0 gid=0 ses=3 comm=\"cat\" exe=\"/usr/bin/cat\" key=\"exec\"\u{1d}AUID=\"alice\" \
         UID=\"root\"\n\
         type=EXECVE msg=audit(1712576792.123:55): argc=3 a0=\"cat\" a1=\"-n\" a2=2F746D702F61206220\n\
         type=CWD msg=audit(1712576792.123:55): cwd=\"/root\"\n\
         type=PATH msg=audit(1712576792.123:55): item=0 name=\"/usr/bin/cat\" inode=1\n\
         type=USER_LOGIN msg=audit(1712576793.000:56): pid=9 uid=0 auid=4294967295 ses=4294967295 msg='op=login \
         acct=\"bob\" exe=\"/usr/sbin/sshd\" hostname=? addr=203.0.113.9 terminal=sshd res=failed'\n",
        "Audit",
        &[
            "2024-04-08T11:46:32.123Z Zoned Process alice - SYSCALL audit",
            "2024-04-08T11:46:33Z Zoned LoginFailed bob 203.0.113.9 USER_LOGIN audit",
        ],
    );
    assert_eq!(events[0].field("CommandLine"), Some("cat -n /tmp/a b "));
    assert_eq!(events[0].field("Image"), Some("/usr/bin/cat"));
    assert_eq!(events[0].field("User"), Some("root"));
    assert_eq!(events[0].source.category, Some("process_creation"));
}

#[test]
fn a_web_server_says_what_was_asked() {
    let events = check(
        "203.0.113.9 - - [08/Apr/2021:11:46:32 -0700] \"GET /dana-na/../dana/x?a=1&b=%2e HTTP/1.1\" 404 162 \"-\" \
         \"curl/7.68 \\\"x\\\"\"\n\
         www.example.org:443 2001:db8::1 - alice smith [08/Apr/2021:11:46:33 +0000] \"POST / HTTP/2.0\" 200 - \"-\" \
         \"-\"\n\
         203.0.113.9 - - [08/Apr/2021:11:46:34 +0000] \"\\x16\\x03\\x01\" 400 226\n",
        "Access",
        &[
            "2021-04-08T18:46:32Z Zoned Request - 203.0.113.9 - -",
            "2021-04-08T11:46:33Z Zoned Request alice smith 2001:db8::1 - -",
            "2021-04-08T11:46:34Z Zoned Request - 203.0.113.9 - -",
        ],
    );
    let field = |name| events[0].field(name);
    assert_eq!(field("cs-uri-stem"), Some("/dana-na/../dana/x"));
    assert_eq!(field("cs-uri-query"), Some("a=1&b=%2e"));
    assert_eq!(field("cs-method"), Some("GET"));
    assert_eq!(field("sc-status"), Some("404"));
    assert_eq!(field("cs-user-agent"), Some("curl/7.68 \\\"x\\\""));
    assert_eq!(events[1].field("cs-host"), Some("www.example.org:443"));
}

#[test]
fn a_web_server_says_what_failed() {
    let events = check(
        "2021/04/08 11:46:32 [error] 7#7: *1 open() \"/srv/x\" failed (2: No such file or directory), client: \
         203.0.113.9, server: _, request: \"GET /x HTTP/1.1\", host: \"a\"\n",
        "Error",
        &["2021-04-08T11:46:32Z ZoneAssumed Other - 203.0.113.9 - nginx"],
    );
    assert_eq!(events[0].field("request"), Some("GET /x HTTP/1.1"));
    check(
        "[Thu Apr 08 11:46:32.250000 2021] [core:error] [pid 7:tid 8] [client 203.0.113.9:4711] AH00126: Invalid \
         URI in request\n",
        "Error",
        &["2021-04-08T11:46:32.25Z ZoneAssumed Other - 203.0.113.9 - apache2"],
    );
}

#[test]
fn the_columns_of_iis_may_change_in_the_middle() {
    let events = check(
        "#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n\
         #Fields: date time c-ip cs-username cs-method cs-uri-stem cs-uri-query sc-status\n\
         2021-03-03 11:46:32 203.0.113.9 CORP\\alice POST /ecp/x.js - 200\n\
         #Fields: date time cs-uri-stem c-ip\n\
         2021-03-03 11:46:33 /owa/auth/x.aspx 203.0.113.9\n",
        "W3c",
        &[
            "2021-03-03T11:46:32Z Zoned Request alice@CORP 203.0.113.9 - -",
            "2021-03-03T11:46:33Z Zoned Request - 203.0.113.9 - -",
        ],
    );
    assert_eq!(events[1].field("cs-uri-stem"), Some("/owa/auth/x.aspx"));
    check(
        "DateTime,RequestId,ClientIpAddress,Method,UrlStem,AuthenticatedUser,HttpStatus,UserAgent\n\
         2021-03-03T11:46:32.100Z,1,203.0.113.9,POST,/ecp/y.js,CORP\\bob,241,\"a,b\"\n",
        "W3c",
        &["2021-03-03T11:46:32.1Z Zoned Request bob@CORP 203.0.113.9 - -"],
    );
}

#[test]
fn json_of_any_program_and_of_the_journal_is_read() {
    let events = check(
        "{\"@timestamp\":\"2021-04-08T11:46:32Z\",\"user\":{\"name\":\"alice\"},\"source\":{\"ip\":\"203.0.113.9\"},\
         \"message\":\"hi\"}\n\
         {\"ts\":1617882392.5,\"request\":{\"remote_ip\":\"203.0.113.9\",\"method\":\"GET\",\"uri\":\"/a?b\"},\
         \"status\":404}\n\
         {\"__REALTIME_TIMESTAMP\":\"1617882392000000\",\"SYSLOG_IDENTIFIER\":\"sshd\",\"_HOSTNAME\":\"web\",\
         \"MESSAGE\":\"Accepted password for root from 203.0.113.9 port 1 ssh2\"}\n",
        "Json",
        &[
            "2021-04-08T11:46:32Z Zoned Other alice 203.0.113.9 - -",
            "2021-04-08T11:46:32.5Z Zoned Request - 203.0.113.9 - -",
            "2021-04-08T11:46:32Z Zoned Login root 203.0.113.9 - sshd",
        ],
    );
    assert_eq!(events[1].field("cs-uri-stem"), Some("/a"));
}

#[test]
fn a_journal_with_binary_fields_is_read() {
    let mut log = b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1617882392000000\nSYSLOG_IDENTIFIER=sshd\nMESSAGE\n".to_vec();
    let message = b"Failed password for root from 203.0.113.9 port 1 ssh2\nsecond line";
    log.extend((message.len() as u64).to_le_bytes());
    log.extend(message);
    log.extend(b"\n_HOSTNAME=web\n\n");
    let (events, report) = read(&log);
    assert_eq!(told(&events[0]), "2021-04-08T11:46:32Z Zoned LoginFailed root 203.0.113.9 - sshd");
    assert!(report.gaps.is_empty(), "{report:?}");
}

#[test]
fn a_log_of_no_known_format_is_a_gap() {
    let (events, report) = read(b"nothing that anybody knows\nand more of it\n");
    assert_eq!((events.len(), report.gaps[0].code.as_str()), (0, "log-format-unknown"));
}
