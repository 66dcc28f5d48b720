// The npm SDK and ws as the emulator's client; prints what they saw as one line of JSON.
"use strict";

const { default: Client, ...models } = require("@alicloud/eci20180808");
const { Config, OpenApiRequest, Params } = require("@alicloud/openapi-client");
const { RuntimeOptions } = require("@alicloud/tea-util");
const WebSocket = require("ws");

const PATIENCE = 30000; // milliseconds for something that happens at once on a quiet machine
const { ECI_ENDPOINT: endpoint, ECI_KEY_ID: accessKeyId, ECI_KEY_SECRET: accessKeySecret } = process.env;
const regionId = "cn-hangzhou";
const client = new Client(new Config({ endpoint, accessKeyId, accessKeySecret, regionId, protocol: "http" }));

async function create() {
    const { body } = await client.createContainerGroup(new models.CreateContainerGroupRequest({
        regionId,
        containerGroupName: "from-npm",
        restartPolicy: "Never",
        cpu: 2,
        memory: 4,
        tag: [new models.CreateContainerGroupRequestTag({ key: "team", value: "blue & green" })],
        container: [new models.CreateContainerGroupRequestContainer({
            name: "main",
            image: "any:1",
            command: ["sleep", "3600"],
            environmentVar: [
                new models.CreateContainerGroupRequestContainerEnvironmentVar({ key: "STAGE", value: "test é" }),
            ],
        })],
    }));
    return body.containerGroupId;
}

async function list(given) {
    const request = new models.DescribeContainerGroupsRequest({ regionId, ...given });
    return (await client.describeContainerGroups(request)).body.containerGroups;
}

async function until(what, condition) {
    const limit = Date.now() + PATIENCE;
    for (;;) {
        const found = await condition();
        if (found) {
            return found;
        }
        if (Date.now() > limit) {
            throw new Error(`it never came to that: ${what}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

async function execute(containerGroupId, command, input) {
    const { body } = await client.execContainerCommand(new models.ExecContainerCommandRequest({
        regionId,
        containerGroupId,
        containerName: "main",
        command: JSON.stringify(command),
        stdin: true,
        TTY: false,
    }));
    const output = { 1: [], 2: [] };
    const others = [];
    const code = await new Promise((resolve, reject) => {
        const socket = new WebSocket(body.webSocketUri, { handshakeTimeout: PATIENCE });
        socket.on("open", () => socket.send(Buffer.concat([Buffer.from([0]), Buffer.from(input)])));
        socket.on("message", (data, isBinary) => {
            if (isBinary && data[0] in output) {
                output[data[0]].push(data.subarray(1));
            } else {
                others.push(data.toString("latin1"));
            }
        });
        socket.on("close", resolve);
        socket.on("error", reject);
    });
    return { code, others, stdout: Buffer.concat(output[1]).toString(), stderr: Buffer.concat(output[2]).toString() };
}

async function unknown() {
    const params = new Params({
        action: "DescribeNothing",
        version: "2018-08-08",
        protocol: "HTTP",
        pathname: "/",
        method: "POST",
        authType: "AK",
        style: "RPC",
        reqBodyType: "formData",
        bodyType: "json",
    });
    try {
        await client.callApi(params, new OpenApiRequest({ query: { RegionId: regionId } }), new RuntimeOptions({}));
    } catch (error) {
        return error.code;
    }
    return "answered";
}

async function main() {
    const id = await create();
    const containerGroupIds = JSON.stringify([id]);
    const listed = (await list({})).map((group) => [group.containerGroupId, group.containerGroupName]);
    const group = await until("Running", async () =>
        (await list({ containerGroupIds })).find((each) => each.status === "Running"));
    const lines = "read line; echo \"$line, $STAGE\"; echo oops >&2; head -c 200000 /dev/zero | tr '\\0' x";
    const ran = await execute(id, ["sh", "-c", lines], "wörld\n");
    const refused = await unknown();
    await client.deleteContainerGroup(new models.DeleteContainerGroupRequest({ regionId, containerGroupId: id }));
    await until("gone", async () => (await list({ containerGroupIds })).length === 0);
    const tags = group.tags.map((tag) => [tag.key, tag.value]);
    return { id, listed, size: [group.cpu, group.memory], tags, ran, refused };
}

// The SDK keeps its connections, and with them the process.
main().then(
    (seen) => process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0)),
    (error) => process.stderr.write(`${error.stack}\n`, () => process.exit(1)),
);
