// Programs and pages that collect what people type, and what they leave. See ../../SOURCES.md.

rule pcs_radialpulse
{
    meta:
        description = "RADIALPULSE: names and passwords go to a file that looks like a counter"
        reference = "Mandiant, 20 April 2021: RADIALPULSE"
        severity = "critical"
        attack = "T1556 T1056"
    strings:
        $file = "dsstartssh.statementcounters"
    condition:
        $file
}

rule pcs_pulsejump
{
    meta:
        description = "A Perl page or module appends a password to a file below /tmp, as PULSEJUMP does"
        reference = "Mandiant, 20 April 2021: PULSEJUMP"
        severity = "high"
        attack = "T1556"
    strings:
        $append = /open\s*\(?[^;\n]{0,60}>>\s*["']?,?\s*["']?\/tmp\//
        $secret = /\bprint\b[^;\n]{0,120}\$\{?[\w>:{-]*pass(word|wd)?\b/ nocase
    condition:
        filesize < 1MB and all of them
}

rule pcs_slowpulse_log
{
    meta:
        description = "SLOWPULSE: a library writes names and passwords behind a module of the appliance"
        reference = "Mandiant, 20 April 2021: SLOWPULSE (ATT&CK S1104)"
        severity = "critical"
        attack = "T1556.004 T1074.001"
    strings:
        $file = "/home/perl/PAUS.pm"
        $form = "%s:%s\n"
    condition:
        uint32(0) == 0x464c457f and all of them
}

rule pcs_slowpulse_loot
{
    meta:
        description = "What SLOWPULSE leaves: names and passwords behind the end of PAUS.pm"
        reference = "Mandiant, 20 April 2021: SLOWPULSE (ATT&CK S1104)"
        severity = "critical"
        attack = "T1074.001"
    strings:
        $pair = /\n1;\s*\n([^\n]*\n)*[^\s=#:]{1,64}:[^\s:][^\n]{0,127}\n/
    condition:
        filename == "PAUS.pm" and $pair
}

rule pcs_pacemaker
{
    meta:
        description = "PACEMAKER: reads passwords out of the memory of a process"
        reference = "Mandiant, 20 April 2021: PACEMAKER (ATT&CK S1109)"
        severity = "critical"
        attack = "T1003.007"
    strings:
        $memory = /\/proc\/(%d|%s|\$\w+)\/mem\b/
        $loot1 = "dsserver-check.statementcounters"
        $loot2 = "dsactiveuser.statementcounters"
    condition:
        $memory and any of ($loot*)
}

rule pcs_pacemaker_launcher
{
    meta:
        description = "Starts PACEMAKER over the memory of a process"
        reference = "Mandiant, 20 April 2021: launcher of PACEMAKER"
        severity = "critical"
        attack = "T1003.007"
    strings:
        $start = /\/home\/bin\/memread\s+-t\b/
    condition:
        $start
}

rule pcs_dryhook
{
    meta:
        description = "DRYHOOK: names and passwords go to a file below /tmp"
        reference = "Mandiant, 8 January 2025: DRYHOOK, DSAuth.pm"
        severity = "critical"
        attack = "T1556"
    strings:
        $file = "/tmp/cmdmmap.kuwMW"
    condition:
        $file
}

rule pcs_session_cache_theft
{
    meta:
        description = "Packs the cache of sessions and puts it among the style sheets, where anybody can fetch it"
        reference = "Mandiant, 8 January 2025: theft of /runtime/mtmp/lmdb"
        severity = "critical"
        attack = "T1560.001 T1005"
    strings:
        $pack = /\btar\b[^\n]{0,120}\/runtime\/mtmp\/lmdb/
        $place = "/dana-na/css/"
    condition:
        filesize < 1MB and all of them
}
