// What the web shells of 2021 and later hold, as published of them; the rules are ours. See ../../SOURCES.md.

rule pcs_atrium
{
    meta:
        description = "ATRIUM: a page hands its parameter id to the shell"
        reference = "Mandiant, 20 April 2021: ATRIUM; CISA AR21-202"
        severity = "critical"
        attack = "T1505.003"
    strings:
        $parameter = /CGI::param\(\s*["']id["']\s*\)/
        $run = /\bsystem\s*\(/
    condition:
        filesize < 256KB and $run and $parameter
}

rule pcs_steadypulse
{
    meta:
        description = "STEADYPULSE: a page with a field for commands, which shows what they print"
        reference = "Mandiant, 20 April 2021: STEADYPULSE; network signature of the same publication"
        severity = "critical"
        attack = "T1505.003 T1071.001"
    strings:
        $field = /<input type=\\?["']text\\?["'] name=\\?["']serverid\\?["']/
        $result = /Results of \\?'.{0,80}\\?' execution:/
    condition:
        filesize < 256KB and all of them
}

rule pcs_pulsecheck
{
    meta:
        description = "PULSECHECK: a page takes commands from the headers X-KEY, X-CNT and X-CMD"
        reference = "Mandiant, 20 April 2021: PULSECHECK (ATT&CK S1108)"
        severity = "critical"
        attack = "T1505.003 T1071.001"
    strings:
        $key = /\bHTTP_X_KEY\b|\bX-KEY\b/
        $count = /\bHTTP_X_CNT\b|\bX-CNT\b/
        $command = /\bHTTP_X_CMD\b|\bX-CMD\b/
        $run = /\bpopen\b|\bdecode_base64\b|MIME::Base64/
    condition:
        filesize < 256KB and all of them
}

rule pcs_slightpulse
{
    meta:
        description = "SLIGHTPULSE: a page with the parameters cert, md5, img and name, which prints by way of /tmp/1"
        reference = "Mandiant, 20 April 2021: SLIGHTPULSE (ATT&CK S1110)"
        severity = "critical"
        attack = "T1505.003 T1573.001"
    strings:
        $cert = /["']cert["']/
        $digest = /["']md5["']/
        $image = /["']img["']/
        $name = /["']name["']/
        $out = /\/tmp\/1\b/
        $base64 = /decode_base64|MIME::Base64/
    condition:
        filesize < 256KB and all of them
}

rule pcs_rapidpulse
{
    meta:
        description = "RAPIDPULSE: a page that reads files, opened by the parameter hmacTime"
        reference = "Mandiant, 27 May 2021: RAPIDPULSE (ATT&CK S1113)"
        severity = "critical"
        attack = "T1505.003 T1005"
    strings:
        $parameter = /\bhmacTime\b/
        $perl = /\buse (strict|lib|CGI|DS[A-Za-z]+)\b|^#!.{0,40}perl/
    condition:
        filesize < 256KB and all of them
}

rule pcs_dslog
{
    meta:
        description = "The logging module runs what a client calls itself (backdoor in DSLog.pm)"
        reference = "JPCERT/CC, rule webshell_DSLog_str; seen with CVE-2024-21893"
        severity = "critical"
        attack = "T1505.003 T1554"
    strings:
        $agent = "HTTP_USER_AGENT"
        $run = /\bsystem\s*\(|\bexec\s*\(|\bqx\b/
    condition:
        filename == "DSLog.pm" and all of them
}

rule pcs_bushwalk_switch
{
    meta:
        description = "The module that looks at the client's name runs something: how BUSHWALK was turned on and off"
        reference = "Mandiant, 27 February 2024: BUSHWALK (ATT&CK S1118), DSUserAgentCap.pm"
        severity = "high"
        attack = "T1505.003 T1554"
    strings:
        $run = /\bsystem\s*\(|\bexec\s*\(|\beval\s*\(|\brename\s*\(|\bqx\b/
    condition:
        filename == "DSUserAgentCap.pm" and $run
}

rule pcs_wirefire
{
    meta:
        description = "WIREFIRE: the module of visits runs what a request carries"
        reference = "Mandiant, 11 January 2024: WIREFIRE (ATT&CK S1115), visits.py of cav-0.1-py3.6.egg"
        severity = "critical"
        attack = "T1505.003"
    strings:
        $run = /\bexec\s*\(|\beval\s*\(/
        $packed = /\bzlib\b|\bAES\b|\bb64decode\b/
    condition:
        filename == "visits.py" and all of them
}

rule pcs_warpwire
{
    meta:
        description = "WARPWIRE: the script of the sign-in page sends what was typed somewhere else"
        reference = "Mandiant, 11 January 2024: WARPWIRE (ATT&CK S1116), lastauthserverused.js"
        severity = "critical"
        attack = "T1056.003"
    strings:
        $secret = /\bpassword\b/ nocase
        $send = /\bXMLHttpRequest\b|\bnew Image\b|\bsendBeacon\b|\bfetch\s*\(/
    condition:
        filename == "lastauthserverused.js" and all of them
}

rule pcs_page_runs_code
{
    meta:
        description = "A page that intruders have used runs text as code or as a command"
        reference = "Mandiant and CISA, 2021 to 2025: names of the pages with web shells"
        severity = "medium"
        attack = "T1505.003"
    strings:
        $eval = /\beval\s*\(\s*\$/
        $decode = /\beval\s*\(?\s*(MIME::Base64::)?decode_base64/
        $shell = /\bsystem\s*\(\s*["']?\$/
        $pipe = /\bpopen\s*\(|open\s*\(\s*\w+,\s*["']\$\w+\s*\|["']/
    condition:
        any of them and (
            filename == "compcheckresult.cgi" or filename == "compcheckjs.cgi" or filename == "compcheckjava.cgi" or
            filename == "licenseserverproto.cgi" or filename == "secid_canceltoken.cgi" or
            filename == "meeting_testjs.cgi" or filename == "tnchcupdate.cgi" or filename == "querymanifest.cgi" or
            filename == "getComponent.cgi" or filename == "restAuth.cgi"
        )
}

rule pcs_session_server
{
    meta:
        description = "A module of the appliance starts sessionserver, a script that intruders added"
        reference = "Volexity and Mandiant, January 2024: DSLogConfig.pm, /home/etc/sql/dsserver/sessionserver.pl and .sh"
        severity = "critical"
        attack = "T1554 T1505.003"
    strings:
        $script = /\bsessionserver\.(pl|sh)\b/
        $folder = "/home/etc/sql/dsserver"
    condition:
        $script and (filename == "DSLogConfig.pm" or $folder)
}
