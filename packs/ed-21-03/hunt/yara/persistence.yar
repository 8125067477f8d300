// How intruders stayed through upgrades and checks, and hid what they did. See ../../SOURCES.md.

rule pcs_upgrade_brings_shell_back
{
    meta:
        description = "The upgrade writes into a page that intruders have used: the web shell comes back with it"
        reference = "Mandiant, 20 April 2021 (do-install, DSUpgrade.pm); CISA AR21-202"
        severity = "critical"
        attack = "T1554 T1505.003"
    strings:
        $page = /\b(compcheckresult|licenseserverproto|secid_canceltoken|compcheckjs|compcheckjava|meeting_testjs)\.cgi\b/
        $write = /\bsed\b|\bcp\b|\bcat\b|\bprint\b|>>/
    condition:
        (filename == "DSUpgrade.pm" or filename == "do-install" or filename == "do-install-coreboot") and all of them
}

rule pcs_upgrade_faked
{
    meta:
        description = "PHASEJAM: the display of the upgrade waits and copies a version file instead of upgrading"
        reference = "Mandiant, 8 January 2025: PHASEJAM, processUpgradeDisplay"
        severity = "critical"
        attack = "T1554 T1036"
    strings:
        $display = "processUpgradeDisplay"
        $wait = /\bsleep\b/
        $version = /\b(cp|copy|system)\b[^\n]{0,80}\/VERSION\b/
    condition:
        filename == "DSUpgrade.pm" and all of them
}

rule pcs_phasejam_copies
{
    meta:
        description = "PHASEJAM: keeps copies of the files that it changes"
        reference = "Mandiant, 8 January 2025: PHASEJAM"
        severity = "critical"
        attack = "T1554"
    strings:
        $a = "getComponent.cgi.bak"
        $b = "restAuth.cgi.bak"
        $c = "remotedebug.bak"
        $d = "DSUpgrade.pm.bak"
    condition:
        2 of them
}

rule pcs_manifest_rewritten
{
    meta:
        description = "Writes into the appliance's own list of digests"
        reference = "Mandiant, 8 January 2025: PHASEJAM, SPAWNANT"
        severity = "critical"
        attack = "T1562.001"
    strings:
        $edit = /\bsed\s+-i[^\n]{0,200}\/etc\/manifest\/manifest\b/
    condition:
        $edit
}

rule pcs_manifest_signed_anew
{
    meta:
        description = "SPAWNANT: signs the list of digests with a key of its own"
        reference = "Mandiant, 8 January 2025: SPAWNANT"
        severity = "critical"
        attack = "T1562.001 T1553"
    strings:
        $sign = /dgst\s+-sha512\s+-sign\b/
        $list = "/etc/manifest/manifest"
    condition:
        all of them
}

rule pcs_exclusion_list
{
    meta:
        description = "Adds to the list of files that the appliance's own check passes over"
        reference = "NVISO, January 2024; ATT&CK C0029, T1562.001"
        severity = "critical"
        attack = "T1562.001"
    strings:
        $append = />>\s*["']?\/home\/etc\/manifest\/exclusion_list/
    condition:
        $append
}

rule pcs_zipline
{
    meta:
        description = "ZIPLINE: hides from the check, and goes into the next installation"
        reference = "Mandiant, 11 January 2024: ZIPLINE (ATT&CK S1114)"
        severity = "critical"
        attack = "T1574.006 T1562.001"
    strings:
        $list = "/home/etc/manifest/exclusion_list"
        $next = "/tmp/data/root"
        $preload = "ld.so.preload"
        $option = "--exclude"
    condition:
        uint32(0) == 0x464c457f and all of them
}

rule pcs_installer_unchecked
{
    meta:
        description = "Takes the check out of the installer"
        reference = "Mandiant, 11 January 2024: ZIPLINE (ATT&CK S1114), /pkg/do-install"
        severity = "critical"
        attack = "T1562.001"
    strings:
        $edit = /\bsed\b[^\n]{0,120}exec \\?\$installer/
    condition:
        $edit
}

rule pcs_check_never_fails
{
    meta:
        description = "The script of the integrity check cannot fail"
        reference = "CISA MAR-25993211 and published incident response (SPAWNCHIMERA, RESURGE)"
        severity = "critical"
        attack = "T1562.001"
    strings:
        $pass = /\bexit 0\b/
        $fail = /\bexit [1-9]/
    condition:
        filename == "check_integrity.sh" and $pass and not $fail
}

rule pcs_preloaded_library
{
    meta:
        description = "Names a library of SPAWN or ZIPLINE together with the list of preloaded libraries"
        reference = "CISA MAR-25993211; Mandiant, 11 January 2024"
        severity = "critical"
        attack = "T1574.006"
    strings:
        $preload = "ld.so.preload"
        $a = "libdsupgrade.so"
        $b = "/lib/libupgrade.so"
        $c = "libsecure.so.1"
        $d = "liblogblock.so"
    condition:
        $preload and any of ($a, $b, $c, $d)
}

rule pcs_quietpulse
{
    meta:
        description = "QUIETPULSE: dsserver starts a helper that the vendor does not ship"
        reference = "Mandiant, 20 April 2021: QUIETPULSE"
        severity = "high"
        attack = "T1554"
    strings:
        $helper = /\bdshelper\b/
    condition:
        filename == "dsserver" and $helper
}

rule pcs_plugin_implant
{
    meta:
        description = "Sockets and files of the implants that came as plugins of SparkGateway"
        reference = "Mandiant, 27 February 2024: PITSTOP (ATT&CK S1123), LITTLELAMB.WOOLTEA (S1121)"
        severity = "critical"
        attack = "T1554"
    strings:
        $a = "/tmp/clientsDownload.sock"
        $b = "/data/runtime/cockpit/wd.fd"
        $c = "/tmp/tmpmnt/bin/samba_upgrade.tar"
    condition:
        any of them
}

rule pcs_thinblood
{
    meta:
        description = "THINBLOOD: cuts records out of the appliance's logs"
        reference = "Mandiant, 20 April 2021: THINBLOOD"
        severity = "critical"
        attack = "T1070.001"
    strings:
        $short = "[^\\x00]*\\x09.\\x00//g"
        $long = "[^\\x01]{1}\\x01"
        $raw = { 5b 5e 00 5d 2a 09 2e 00 2f 2f 67 }
    condition:
        any of them
}

rule pcs_logs_cut
{
    meta:
        description = "Cuts the lines of an exploit out of the appliance's logs"
        reference = "Mandiant, 8 January 2025: what was cut out after CVE-2025-0282"
        severity = "critical"
        attack = "T1070.001"
    strings:
        $log1 = "/dlogs/debuglog"
        $log2 = "log.events.vc0"
        $cut = /\bsed\s+-i/
        $word1 = "tlsconnectionpoint"
        $word2 = "ifttls"
        $word3 = "AUT24604"
        $word4 = "SYS31048"
        $word5 = "ERR10073"
        $word6 = "SSL_read"
    condition:
        filesize < 1MB and $cut and any of ($log*) and 2 of ($word*)
}

rule pcs_exploit_steps
{
    meta:
        description = "Switches protection off and holds back syslog, as exploits of 2025 do first"
        reference = "Mandiant, 8 January 2025: order of the exploit of CVE-2025-0282"
        severity = "critical"
        attack = "T1562.001 T1562.004"
    strings:
        $protection = /\bsetenforce\s+0\b/
        $syslog = /\biptables\b[^\n]{0,80}--dport\s+6?514\b[^\n]{0,40}\bDROP\b/
    condition:
        filesize < 1MB and all of them
}
