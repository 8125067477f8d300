// Web shells on Exchange and what left them there, as published of them; the rules are ours. See ../../SOURCES.md.

rule exchange_eval_of_request
{
    meta:
        description = "A page runs as code what a request carries (China Chopper and its like)"
        reference = "Microsoft, 2 March 2021; CISA AA21-062A; ATT&CK S0020"
        severity = "critical"
        attack = "T1505.003"
    strings:
        $eval = /\beval\s*\(\s*(System\.Text\.Encoding[^\n]{0,120})?Request(\.(Item|Form|QueryString|Headers))?\s*[\[(]/ nocase
        $page = /<%|\brunat\s*=|<script\b/ nocase
    condition:
        filesize < 256KB and all of them
}

rule exchange_address_is_script
{
    meta:
        description = "The external address of the offline address book is a script: the web shell of CVE-2021-27065"
        reference = "Volexity, 2 March 2021; CISA AA21-062A"
        severity = "critical"
        attack = "T1505.003 T1190"
    strings:
        $address = /\bExternalUrl\s*[:=]\s*["']?https?:\/\/[^\s<]{0,80}<script\b/ nocase
        // The log of the control panel, which has a rule of its own.
        $log = "S:CMD="
    condition:
        $address and not $log
}

rule exchange_log_of_address_book
{
    meta:
        description = "The log of the control panel shows that the external address of the address book was set"
        reference = "Volexity, 2 March 2021: Logging/ECP/Server"
        severity = "medium"
        attack = "T1190"
    strings:
        $command = "S:CMD=Set-OabVirtualDirectory.ExternalUrl='"
    condition:
        $command
}

rule exchange_log_of_script_in_address
{
    meta:
        description = "The log of the control panel shows that the external address of the address book was set to a script"
        reference = "Volexity, 2 March 2021; Microsoft, 2 March 2021"
        severity = "critical"
        attack = "T1190 T1505.003"
    strings:
        $command = /S:CMD=Set-OabVirtualDirectory\.ExternalUrl='[^\n]{0,120}(<script|%3[cC]script)/
    condition:
        $command
}

rule exchange_log_of_download
{
    meta:
        description = "The generator of address books failed to download a file: look where to (CVE-2021-26858)"
        reference = "Microsoft, 2 March 2021: Logging/OABGeneratorLog"
        severity = "low"
        attack = "T1190"
    strings:
        $failed = "Download failed and temporary file"
    condition:
        $failed
}

rule exchange_simpleseesharp
{
    meta:
        description = "SIMPLESEESHARP: a page stores the file that a request carries"
        reference = "Volexity, 2 March 2021"
        severity = "critical"
        attack = "T1505.003 T1105"
    strings:
        $file = /\bRequest\.Files\s*\[\s*0\s*\]/
        $save = /\.SaveAs\s*\(\s*Path\.Combine\b/
    condition:
        filesize < 4KB and all of them
}

rule exchange_sportsball
{
    meta:
        description = "SPORTSBALL: a page opened by the cookie fqrspt"
        reference = "Volexity, 2 March 2021"
        severity = "critical"
        attack = "T1505.003"
    strings:
        $cookie = /["']fqrspt["']/
    condition:
        $cookie
}

rule exchange_tunnel
{
    meta:
        description = "A page passes connections on into the network, as reGeorg does"
        reference = "Volexity, 2 March 2021: variation of reGeorg"
        severity = "critical"
        attack = "T1505.003 T1090"
    strings:
        $socket = "System.Net.Sockets"
        $header = /\bStrTr\s*\(\s*Request\.Headers\.Get\b/
        $page = /<%|\brunat\s*=/ nocase
    condition:
        filesize < 256KB and all of them
}
