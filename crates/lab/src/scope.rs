//! Scope: what does the operator of this exercise declare?

use std::net::{IpAddr, SocketAddr};

use crate::VERSION;

/// The scope file of the lab.
pub(crate) fn text(addresses: [SocketAddr; 3]) -> String {
    let [vpn1, vpn2, vpn3] = addresses;
    let network = match vpn1.ip() {
        IpAddr::V4(ip) => format!("{}/29", std::net::Ipv4Addr::from_bits(ip.to_bits() & !7)),
        // The servers listen on 127.0.0.0/8.
        IpAddr::V6(ip) => format!("{ip}/128"),
    };
    let checked = |name: &str, address: SocketAddr, model: &str| {
        format!(
            "\n[[instance]]\nname = \"{name}\"\naddress = \"{address}\"\nevidence = \"evidence/{name}\"\n\
             manifest = \"manifests/{VERSION}.manifest\"\nowner = {{ kind = \"agency\" }}\n\n[instance.facts]\n\
             hardware-model = \"{model}\"\ninternal-hostname = \"{name}.internal.agency.example\"\n\
             public-fqdn = \"{name}.agency.example\"\nversion-2021-03-31 = \"{VERSION}\"\n"
        )
    };
    format!(
        "# An exercise on this machine's loopback network. Everything in it is synthetic.\n\
         organisation = \"Example Agency (exercise)\"\ncontact = \"soc@agency.example\"\nnetworks = [\"{network}\"]\n\
         ports = [{port}]\nrate = 500\n{}{}\n[[instance]]\nname = \"vpn3\"\naddress = \"{vpn3}\"\n\
         owner = {{ kind = \"third-party\", commercial = true, name = \"Example Hosting\" }}\n\n[instance.facts]\n\
         public-fqdn = \"vpn3.agency.example\"\nversion-2021-03-31 = \"9.1R9\"\n",
        checked("vpn1", vpn1, "PSA5000"),
        checked("vpn2", vpn2, "PSA7000c"),
        port = vpn1.port(),
    )
}
