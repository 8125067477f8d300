// What was put into Orion, as published of it; the rules are ours. See ../../SOURCES.md.

rule orion_sunburst_class
{
    meta:
        description = "SUNBURST: the library holds the class that the intruders added"
        reference = "FireEye, 13 December 2020, and notes of its indicator release; trials of October 2019 hold it too"
        severity = "critical"
        attack = "T1195.002"
    strings:
        $class = "OrionImprovementBusinessLayer"
    condition:
        uint16(0) == 0x5a4d and $class
}

rule orion_netsetupsvc
{
    meta:
        description = "A file of this name in this folder is the loader of what came after SUNBURST (TEARDROP)"
        reference = "ED 21-01, action 3.b"
        severity = "critical"
        attack = "T1036.005"
    condition:
        filepath iendswith "/syswow64/netsetupsvc.dll"
}

rule orion_supernova
{
    meta:
        description = "SUPERNOVA: the handler of the logo compiles and runs what a request carries"
        reference = "GuidePoint Security, 14 December 2020; SentinelLabs, 23 December 2020; CISA AR21-027A"
        severity = "critical"
        attack = "T1505.003"
    strings:
        $handler = "LogoImageHandler" ascii wide nocase
        $parameter = "clazz" ascii wide
        $compile = "CompileAssemblyFromSource" ascii wide
    condition:
        filesize < 1MB and all of them
}

rule orion_supernova_installer
{
    meta:
        description = "A script puts a library in the place of the handler of the logo"
        reference = "CISA AR21-027A: PowerShell script that decodes and installs SUPERNOVA"
        severity = "high"
        attack = "T1059.001 T1505.003"
    strings:
        $library = "app_web_logoimagehandler.ashx.b6031896.dll" ascii wide nocase
        $decode = "FromBase64String" ascii wide nocase
    condition:
        filesize < 4MB and all of them
}
