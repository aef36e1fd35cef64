"""nftables: transactions over one netlink socket, and rulesets that know what to send; no kinds are known here."""
