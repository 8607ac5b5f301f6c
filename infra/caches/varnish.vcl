# Varnish in front of edges: purged by tags. Started as `varnishd -a :6081 -f varnish.vcl -s malloc,4g`.
vcl 4.1;

import xkey;

backend edge { .host = "127.0.0.1"; .port = "8081"; }

# Who may purge: schedulers.
acl schedulers { "127.0.0.1"; "::1"; }

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ schedulers) {
            return (synth(403, "not for you"));
        }
        if (!req.http.xkey-purge) {
            return (synth(400, "no xkey-purge"));
        }
        # Tags with a space between each. None that fits is no fault: 0 objects.
        set req.http.n-gone = xkey.purge(req.http.xkey-purge);
        return (synth(200, req.http.n-gone + " objects"));
    }
    # The address is the object: nothing else tells one answer from another.
    unset req.http.cookie;
    unset req.http.xkey;
}

sub vcl_backend_response {
    # An edge that trusts this cache (edge.trusted_proxies) and has edge.tag_header: xkey says the tags itself.
    if (!beresp.http.xkey) {
        call tags_of_name;
    }
}

# What an edge would say: the same tags, read from the name.
sub tags_of_name {
    # A token that stands in the path is no part of the object's name.
    set bereq.http.n-path = regsub(regsub(bereq.url, "[?].*$", ""), "^/t/[^/]+", "");
    # Tags follow from the name: tenant, channel or title, timeline or generation, rendition, and the object itself.
    set beresp.http.xkey = "object:" + regsub(bereq.http.n-path, "^/", "");
    if (bereq.http.n-path ~ "^/live/[^/]+/[^/]+/") {
        set beresp.http.xkey = beresp.http.xkey
            + regsub(bereq.http.n-path, "^/live/([^/]+)/([^/]+)/.*$", " tenant:\1 channel:\1/\2");
        if (bereq.http.n-path ~ "^/live/[^/]+/[^/]+/t[0-9]+-[0-9a-f]+/") {
            set beresp.http.xkey = beresp.http.xkey
                + regsub(bereq.http.n-path, "^/live/([^/]+)/([^/]+)/(t[0-9]+-[0-9a-f]+)/.*$", " timeline:\1/\2/\3");
        }
        if (bereq.http.n-path ~ "^/live/[^/]+/[^/]+/t[0-9]+-[0-9a-f]+/[^/]+/[^/]+$") {
            set beresp.http.xkey = beresp.http.xkey
                + regsub(bereq.http.n-path, "^/live/([^/]+)/([^/]+)/(t[0-9]+-[0-9a-f]+)/([^/]+)/.*$", " rendition:\1/\2/\3/\4");
        }
    } elsif (bereq.http.n-path ~ "^/vod/[^/]+/[^/]+/") {
        set beresp.http.xkey = beresp.http.xkey
            + regsub(bereq.http.n-path, "^/vod/([^/]+)/([^/]+)/.*$", " tenant:\1 asset:\2");
        if (bereq.http.n-path ~ "^/vod/[^/]+/[^/]+/g[0-9]+-[0-9a-f]+(/|\.m3u8$|\.mpd$)") {
            set beresp.http.xkey = beresp.http.xkey
                + regsub(bereq.http.n-path, "^/vod/[^/]+/([^/]+)/(g[0-9]+-[0-9a-f]+).*$", " generation:\1/\2");
        }
        if (bereq.http.n-path ~ "^/vod/[^/]+/[^/]+/g[0-9]+-[0-9a-f]+/[^/]+/[^/]+$") {
            set beresp.http.xkey = beresp.http.xkey
                + regsub(bereq.http.n-path, "^/vod/[^/]+/([^/]+)/(g[0-9]+-[0-9a-f]+)/([^/]+)/.*$", " rendition:\1/\2/\3");
        }
    }
}

sub vcl_deliver {
    # Tags are nobody's business outside.
    unset resp.http.xkey;
}
