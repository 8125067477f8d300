//! Orion: what proves the rules of ED 21-01?
//!
//! Words, and bytes that only look like the beginning of a program.

use super::{Log, Proof};

pub(super) const INDICATORS: usize = 28;

pub(super) const FILES: &[Proof] = &[
    Proof {
        rules: &["orion_sunburst_class"],
        path: "/Program Files (x86)/SolarWinds/Orion/SolarWinds.Orion.Core.BusinessLayer.dll",
        content: b"MZ fixture OrionImprovementBusinessLayer\0",
    },
    // The library as it should be.
    Proof {
        rules: &[],
        path: "/Program Files (x86)/SolarWinds/Orion/SolarWinds.Orion.Core.BusinessLayer.dll",
        content: b"MZ fixture OrionImprovementProgram\0",
    },
    Proof { rules: &["orion_netsetupsvc"], path: "/WINDOWS/SysWOW64/NetSetupSvc.dll", content: b"MZ fixture" },
    Proof { rules: &[], path: "/Windows/System32/NetSetupSvc.dll", content: b"MZ fixture" },
    Proof {
        rules: &["orion_supernova"],
        path: "/inetpub/SolarWinds/bin/App_Web_logoimagehandler.ashx.b6031896.dll",
        content: b"MZ fixture LogoImageHandler clazz CompileAssemblyFromSource\0",
    },
    Proof {
        rules: &["orion_supernova_installer"],
        path: "/Windows/Temp/1.ps1",
        content: b"# fixture: FromBase64String, app_web_logoimagehandler.ashx.b6031896.dll\r\n",
    },
];

macro_rules! request {
    ($target:literal) => {
        concat!("192.0.2.7 - - [13/Dec/2020:11:46:32 +0000] \"GET ", $target, " HTTP/1.1\" 200 17 \"-\" \"curl/8\"")
    };
}

pub(super) const LOGS: &[Log] = &[
    Log {
        header: "",
        lines: &[
            (&["supernova-request"], request!("/Orion/LogoImageHandler.ashx?clazz=x&codes=y")),
            (&[], request!("/Orion/LogoImageHandler.ashx?id=SitelogoImage")),
            (&["control-domain-in-web-log"], request!("http://x.appsync-api.us-west-2.avsvmcloud.com/")),
        ],
    },
    Log {
        header: "",
        lines: &[
            (
                &["control-domain-in-syslog"],
                "2020-12-13T11:46:32Z ns1 dnsmasq[7]: query[A] x.appsync-api.us-west-2.avsvmcloud.com from 192.0.2.9",
            ),
            (&[], "2020-12-13T11:46:33Z ns1 dnsmasq[7]: query[A] www.example.org from 192.0.2.9"),
        ],
    },
];
