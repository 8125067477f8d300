//! Exchange: what proves the rules of ED 21-02?
//!
//! Fragments in comments, none of which a server would run.

use super::{Log, Proof};

pub(super) const INDICATORS: usize = 26;

pub(super) const FILES: &[Proof] = &[
    Proof {
        rules: &["exchange_eval_of_request"],
        path: "/inetpub/wwwroot/aspnet_client/x.aspx",
        content: b"<%-- fixture: eval( Request[ --%>\n",
    },
    Proof {
        rules: &["exchange_address_is_script"],
        path: "/inetpub/wwwroot/aspnet_client/y.aspx",
        content: b"fixture\r\nExternalUrl : http://f/<script nothing\r\n",
    },
    Proof {
        rules: &["exchange_log_of_address_book"],
        path: "/ECPServer1.LOG",
        content: b"2021-03-03T00:00:00Z,S:CMD=Set-OabVirtualDirectory.ExternalUrl='https://mail.example.org/OAB'\r\n",
    },
    Proof {
        rules: &["exchange_log_of_address_book", "exchange_log_of_script_in_address"],
        path: "/ECPServer2.LOG",
        content: b"fixture S:CMD=Set-OabVirtualDirectory.ExternalUrl='http://f/<script nothing'\r\n",
    },
    Proof {
        rules: &["exchange_log_of_download"],
        path: "/OABGenerator.log",
        content: b"fixture Download failed and temporary file\r\n",
    },
    Proof {
        rules: &["exchange_simpleseesharp"],
        path: "/inetpub/wwwroot/aspnet_client/z.aspx",
        content: b"<%-- fixture: Request.Files[0] .SaveAs(Path.Combine --%>\n",
    },
    Proof {
        rules: &["exchange_sportsball"],
        path: "/inetpub/wwwroot/s.aspx",
        content: b"<%-- fixture: \"fqrspt\" --%>\n",
    },
    Proof {
        rules: &["exchange_tunnel"],
        path: "/inetpub/wwwroot/t.aspx",
        content: b"<%-- fixture: System.Net.Sockets StrTr(Request.Headers.Get --%>\n",
    },
    // A page that only shows what it was asked for.
    Proof { rules: &[], path: "/inetpub/wwwroot/u.aspx", content: b"<%= Server.HtmlEncode(Request[\"q\"]) %>\n" },
];

const IIS: &str = "#Software: Microsoft Internet Information Services 10.0\n\
                   #Fields: date time cs-method cs-uri-stem cs-uri-query c-ip cs(User-Agent) cs(Cookie) sc-status\n";

const PROXY: &str =
    "DateTime,RequestId,Method,UrlStem,UrlQuery,AuthenticatedUser,ClientIpAddress,HttpStatus,AnchorMailbox\n";

pub(super) const LOGS: &[Log] = &[
    Log {
        header: IIS,
        lines: &[
            (&["post-to-static-file-of-ecp"], "2021-03-03 00:00:00 POST /ecp/y.js - 192.0.2.7 curl/8 - 200"),
            (&[], "2021-03-03 00:00:00 GET /ecp/y.js - 192.0.2.7 curl/8 - 200"),
            (
                &["post-to-static-file-of-owa"],
                "2021-03-03 00:00:00 POST /owa/auth/Current/themes/resources/logon.css - 192.0.2.7 curl/8 - 200",
            ),
            (
                &["address-book-object-set"],
                "2021-03-03 00:00:00 POST /ecp/DDI/DDIService.svc/SetObject schema=OABVirtualDirectory \
                 192.0.2.7 curl/8 - 200",
            ),
            (&["cookie-names-server"], "2021-03-03 00:00:00 GET /owa/ - 192.0.2.7 curl/8 X-BEResource=x/y~1 200"),
            (
                &["page-in-aspnet-client-asked-for"],
                "2021-03-03 00:00:00 GET /aspnet_client/system_web/x.aspx - 192.0.2.7 curl/8 - 200",
            ),
            (&[], "2021-03-03 00:00:00 GET /aspnet_client/system_web/x.aspx - 192.0.2.7 curl/8 - 404"),
            (
                &["page-of-known-name-asked-for"],
                "2021-03-03 00:00:00 POST /owa/auth/errorEE.aspx - 192.0.2.7 curl/8 - 200",
            ),
            (&["client-of-intruder"], "2021-03-03 00:00:00 GET /ecp/ - 192.0.2.7 python-requests/2.25.1 - 302"),
            (&["client-of-intruder"], "2021-03-03 00:00:00 GET /x - 192.0.2.7 antSword/v2.1 - 404"),
            (&[], "2021-03-03 00:00:00 GET /owa/auth/logon.aspx replaceCurrent=1 192.0.2.7 Mozilla/5.0 - 200"),
        ],
    },
    Log {
        header: PROXY,
        lines: &[
            (
                &["mailbox-of-server-without-login"],
                "2021-03-03T00:00:00.000Z,1,POST,/ecp/x,,,192.0.2.7,241,ServerInfo~a]@mail.example.org:444/ecp/x?#",
            ),
            (&[], "2021-03-03T00:00:00.000Z,2,POST,/ecp/x,,EXAMPLE\\alice,192.0.2.7,200,ServerInfo~mail.example.org/x"),
            (&[], "2021-03-03T00:00:00.000Z,3,GET,/owa/,,,192.0.2.7,200,alice@example.org"),
        ],
    },
];
