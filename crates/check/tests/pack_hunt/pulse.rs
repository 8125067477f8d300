//! Pulse: what proves the rules of ED 21-03?
//!
//! Fragments in comments, and bytes that only look like the beginning of a program: nothing here runs.

use super::{Log, Proof};

pub(super) const INDICATORS: usize = 70;

pub(super) const FILES: &[Proof] = &[
    Proof {
        rules: &["pcs_atrium"],
        path: "/home/webserver/htdocs/dana-na/auth/atrium.cgi",
        content: b"# fixture, does nothing: system( \n# CGI::param('id')\n",
    },
    Proof {
        rules: &["pcs_steadypulse"],
        path: "/home/webserver/htdocs/dana-na/auth/licence.cgi",
        content: b"# fixture: <input type=\"text\" name=\"serverid\"\n# Results of 'x' execution:\n",
    },
    Proof {
        rules: &["pcs_pulsecheck"],
        path: "/home/webserver/htdocs/dana-na/auth/token.cgi",
        content: b"# fixture: HTTP_X_KEY HTTP_X_CNT HTTP_X_CMD decode_base64\n",
    },
    Proof {
        rules: &["pcs_slightpulse"],
        path: "/home/webserver/htdocs/dana-na/meeting/test.cgi",
        content: b"# fixture: 'cert' 'md5' 'img' 'name' /tmp/1 MIME::Base64\n",
    },
    Proof {
        rules: &["pcs_rapidpulse"],
        path: "/home/webserver/htdocs/dana-na/update.cgi",
        content: b"# fixture: use strict; hmacTime\n",
    },
    Proof { rules: &["pcs_dslog"], path: "/home/perl/DSLog.pm", content: b"# fixture: HTTP_USER_AGENT system(\n" },
    Proof { rules: &["pcs_bushwalk_switch"], path: "/home/perl/DSUserAgentCap.pm", content: b"# fixture: rename(\n" },
    Proof {
        rules: &["pcs_wirefire"],
        path: "/home/venv3/lib/python3.6/site-packages/cav/visits.py",
        content: b"# fixture: exec( zlib\n",
    },
    Proof {
        rules: &["pcs_warpwire"],
        path: "/home/webserver/htdocs/dana-na/auth/lastauthserverused.js",
        content: b"// fixture: password, new Image\n",
    },
    Proof {
        rules: &["pcs_page_runs_code"],
        path: "/home/webserver/htdocs/dana-na/auth/querymanifest.cgi",
        content: b"# fixture: eval( $\n",
    },
    Proof {
        rules: &["pcs_session_server"],
        path: "/home/perl/DSLogConfig.pm",
        content: b"# fixture: sessionserver.pl\n",
    },
    Proof {
        rules: &["pcs_radialpulse"],
        path: "/home/webserver/htdocs/dana-na/auth/login.cgi",
        content: b"# fixture: /tmp/dsstartssh.statementcounters\n",
    },
    Proof {
        rules: &["pcs_pulsejump"],
        path: "/home/perl/Samba.pm",
        content: b"# fixture: open(F, '>>', '/tmp/x'\n# print F $password\n",
    },
    Proof {
        rules: &["pcs_slowpulse_log"],
        path: "/home/lib/libdsplibs.so",
        content: b"\x7fELF fixture /home/perl/PAUS.pm\0%s:%s\n\0",
    },
    Proof {
        rules: &["pcs_slowpulse_loot"],
        path: "/home/perl/PAUS.pm",
        content: b"package PAUS;\n1;\nnobody:nothing\n",
    },
    Proof {
        rules: &["pcs_pacemaker"],
        path: "/home/bin/reader",
        content: b"fixture /proc/%d/mem /tmp/dsserver-check.statementcounters\n",
    },
    Proof {
        rules: &["pcs_pacemaker_launcher"],
        path: "/home/bin/launch",
        content: b"# fixture: /home/bin/memread -t 1\n",
    },
    Proof { rules: &["pcs_dryhook"], path: "/home/perl/DSAuth.pm", content: b"# fixture: /tmp/cmdmmap.kuwMW\n" },
    Proof {
        rules: &["pcs_session_cache_theft"],
        path: "/tmp/t.sh",
        content: b"# fixture: tar x /runtime/mtmp/lmdb\n# /dana-na/css/\n",
    },
    Proof {
        rules: &["pcs_upgrade_brings_shell_back"],
        path: "/pkg/do-install",
        content: b"# fixture: sed compcheckresult.cgi\n",
    },
    Proof {
        rules: &["pcs_upgrade_faked"],
        path: "/home/perl/DSUpgrade.pm",
        content: b"# fixture: processUpgradeDisplay sleep\n# cp x /home/VERSION\n",
    },
    Proof {
        rules: &["pcs_phasejam_copies"],
        path: "/tmp/a",
        content: b"# fixture: restAuth.cgi.bak remotedebug.bak\n",
    },
    Proof {
        rules: &["pcs_manifest_rewritten"],
        path: "/tmp/b",
        content: b"# fixture: sed -i x /home/etc/manifest/manifest\n",
    },
    Proof {
        rules: &["pcs_manifest_signed_anew"],
        path: "/tmp/c",
        content: b"# fixture: dgst -sha512 -sign x /home/etc/manifest/manifest\n",
    },
    Proof {
        rules: &["pcs_exclusion_list"],
        path: "/tmp/d",
        content: b"# fixture: >> /home/etc/manifest/exclusion_list\n",
    },
    Proof {
        rules: &["pcs_zipline"],
        path: "/home/lib/libz.so",
        content: b"\x7fELF fixture /home/etc/manifest/exclusion_list /tmp/data/root ld.so.preload --exclude",
    },
    Proof { rules: &["pcs_installer_unchecked"], path: "/tmp/e", content: b"# fixture: sed '/exec $installer/d'\n" },
    Proof {
        rules: &["pcs_check_never_fails"],
        path: "/home/bin/check_integrity.sh",
        content: b"#!/bin/sh\n# fixture\nexit 0\n",
    },
    // As the vendor ships it, as far as that is known: it can fail.
    Proof { rules: &[], path: "/home/bin/check_integrity.sh", content: b"#!/bin/sh\n# fixture\nexit 1\nexit 0\n" },
    Proof {
        rules: &["pcs_preloaded_library"],
        path: "/tmp/f",
        content: b"# fixture: /etc/ld.so.preload /lib/libdsupgrade.so\n",
    },
    Proof { rules: &["pcs_quietpulse"], path: "/home/bin/dsserver", content: b"fixture dshelper\n" },
    Proof { rules: &["pcs_plugin_implant"], path: "/data/x.jar", content: b"fixture /tmp/clientsDownload.sock\n" },
    Proof {
        rules: &["pcs_thinblood"],
        path: "/tmp/clear",
        content: br"# fixture: s/.\x00[^\x00]*nothing[^\x00]*\x09.\x00//g",
    },
    Proof {
        rules: &["pcs_logs_cut"],
        path: "/tmp/g",
        content: b"# fixture: sed -i /data/var/dlogs/debuglog ifttls SSL_read\n",
    },
    Proof {
        rules: &["pcs_exploit_steps"],
        path: "/tmp/h",
        content: b"# fixture: setenforce 0\n# iptables -A OUTPUT -p tcp --dport 514 -j DROP\n",
    },
    // Parts of the appliance that speak of the same things.
    Proof { rules: &[], path: "/home/perl/DSUpgrade.pm", content: b"sub processUpgradeDisplay { }\n1;\n" },
    Proof { rules: &[], path: "/home/perl/PAUS.pm", content: b"package PAUS;\nsub x { }\n1;\n" },
    Proof { rules: &[], path: "/etc/ld.so.preload", content: b"/lib/libsafe.so\n/home/lib/libdspreload.so\n" },
];

macro_rules! welf {
    ($said:literal) => {
        concat!(
            "2021-04-08T11:46:33Z gate PulseSecure: id=firewall time=\"2021-04-08 11:46:32\" pri=6 ",
            "fw=10.0.0.9 vpn=ive ",
            "ivs=Default Network user=System realm=\"\" roles=\"\" type=mgmt msg=\"",
            $said,
            "\""
        )
    };
}

macro_rules! line {
    ($said:literal) => {
        concat!("2021-04-08T11:46:33Z gate PulseSecure: 2021-04-08 11:46:32 - ive - [127.0.0.1] System()[] - ", $said)
    };
}

macro_rules! request {
    ($target:literal) => {
        concat!("192.0.2.7 - - [08/Apr/2021:11:46:32 +0000] \"GET ", $target, " HTTP/1.1\" 200 17 \"-\" \"curl/8\"")
    };
}

pub(super) const LOGS: &[Log] = &[
    Log {
        header: "",
        lines: &[
            (&["log-cleared"], welf!("ADM20599: Events log has been cleared.")),
            (&["log-cleared"], line!("Debug Log cleared after snapshot")),
            (
                &["log-sending-ended"],
                welf!("ADM20601: Syslog server 192.0.2.9 (facility LOCAL0, filter x) removed from Events logs"),
            ),
            (&["program-failed"], welf!("ERR31093: Program web recently failed.")),
            (&["crash-snapshot-deleted"], welf!("SYS23080: Process snapshot web.1 deleted")),
            (
                &["exploit-path-without-login"],
                welf!("AUT31556: Connection from IP 192.0.2.7 not authenticated yet (URL=//dana///meeting/x)"),
            ),
            (
                &["exploit-path-without-login"],
                line!("Connection from IP 192.0.2.7 not authenticated yet (URL=/dana-ws/namedusers)"),
            ),
            (&[], line!("Connection from IP 192.0.2.7 not authenticated yet (URL=/dana-na/auth/welcome.cgi)")),
            (&[], line!("WebRequest completed, GET to https://files/dana/fb/smb from 192.0.2.7 result=200")),
            (
                &["file-read-by-path"],
                line!(
                    "Connection from IP 192.0.2.7 not authenticated yet \
                     (URL=/dana-na/../dana/html5acc/guacamole/../../x)"
                ),
            ),
            (
                &["command-in-request"],
                line!("Connection from IP 192.0.2.7 not authenticated yet (URL=/dana-na/x?MIME::Base64;)"),
            ),
            (&["path-traversal-seen"], welf!("SYS32026: x")),
            (&["tunnel-packet-refused"], welf!("AUT32205: x")),
            (&["recovery-token"], line!("Authentication token is created for administrative logon recovery")),
            (&["rolled-back-or-reset"], welf!("SYS24259: Server factory reset")),
            (
                &["settings-imported"],
                line!("Successfully imported configuration from XML file 'Workaround-2104.xml' using 'Standard' mode."),
            ),
            (&["settings-exported"], welf!("ADM20447: Exported system configuration by administrator admin")),
            (
                &["own-check-found-files"],
                line!(
                    "Integrity Scan Completed: Integrity Scan Results : Matched Files 18773, \
                     Newly Detected Files 0, Mismatched Files 2"
                ),
            ),
            (
                &[],
                line!(
                    "Integrity Scan Completed: Integrity Scan Results : Matched Files 18773, \
                     Newly Detected Files 0, Mismatched Files 0"
                ),
            ),
            (&["own-check-found-files"], welf!("SYS32039: x")),
            (&["own-list-missing-or-bad"], welf!("ERR32031: x")),
            (&[], welf!("AUT31504: Login succeeded for alice/Users from 192.0.2.7.")),
        ],
    },
    Log {
        header: "",
        lines: &[
            (&["gateway-exploit-path"], request!("/api/v1/totp/user-backup-code/../../license/keys-status/x")),
            (&["gateway-blocked-path"], request!("/dana-ws/namedusers?x=1")),
            (&["gateway-version-probed"], request!("/dana-cached/hc/hc_launcher.22.7.2.2615.jar")),
            (&[], request!("/dana-na/auth/url_default/welcome.cgi")),
        ],
    },
    Log {
        header: "",
        lines: &[
            (
                &["protection-switched-off"],
                "type=EXECVE msg=audit(1617882392.123:77): argc=2 a0=\"setenforce\" a1=\"0\"",
            ),
            (&[], "type=EXECVE msg=audit(1617882392.124:78): argc=2 a0=\"ls\" a1=\"/tmp\""),
        ],
    },
];
