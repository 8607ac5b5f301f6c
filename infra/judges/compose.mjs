#!/usr/bin/env node
// Reads a compose file strictly and looks whether it says what it has to: no key twice, every
// service has something to run, every dependency, network and volume is defined, every mounted
// file is there.
//
//   compose.mjs FILE
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseDocument } from "yaml";

const file = process.argv[2];
if (!file || !existsSync(file)) {
  process.stderr.write("usage: compose.mjs FILE\n");
  process.exit(2);
}
const document = parseDocument(readFileSync(file, "utf8"), { strict: true, uniqueKeys: true, merge: true });
const findings = [...document.errors, ...document.warnings].map((error) => error.message);
const compose = findings.length === 0 ? document.toJS() : {};
const services = Object.entries(compose.services ?? {});
const here = path.dirname(path.resolve(file));
const KEYS = new Set(
  ("build image command entrypoint environment ports volumes depends_on healthcheck restart configs networks " +
    "user working_dir expose stop_grace_period init hostname profiles read_only tmpfs cap_drop security_opt").split(" "),
);

for (const [name, service] of services) {
  const find = (what) => findings.push(`${name}: ${what}`);
  for (const key of Object.keys(service)) if (!KEYS.has(key)) find(`unknown key ${key}`);
  if (!service.image && !service.build) find("neither image nor build");
  const dependencies = Array.isArray(service.depends_on) ? service.depends_on : Object.keys(service.depends_on ?? {});
  for (const other of dependencies) if (!compose.services[other]) find(`depends on ${other}, which is not there`);
  for (const [other, how] of Object.entries(Array.isArray(service.depends_on) ? {} : service.depends_on ?? {})) {
    if (how.condition === "service_healthy" && !compose.services[other]?.healthcheck) find(`waits for ${other}, which has no healthcheck`);
  }
  for (const network of service.networks ?? []) if (!(network in (compose.networks ?? {}))) find(`network ${network} is not defined`);
  for (const volume of service.volumes ?? []) {
    const [source] = String(volume).split(":");
    if (source.startsWith(".")) {
      if (!existsSync(path.join(here, source))) find(`mounts ${source}, which is not there`);
    } else if (!source.startsWith("/") && !(source in (compose.volumes ?? {}))) find(`volume ${source} is not defined`);
  }
  const build = service.build && path.join(here, service.build.context ?? ".", service.build.dockerfile ?? "Dockerfile");
  if (build && !existsSync(build)) find(`builds from ${build}, which is not there`);
}
if (services.length === 0 && findings.length === 0) findings.push("no services");
for (const finding of findings) process.stdout.write(`${file}: ${finding}\n`);
process.stdout.write(`${services.length} services, ${findings.length} findings\n`);
process.exitCode = findings.length === 0 ? 0 : 1;
