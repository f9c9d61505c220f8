// What a person does in the console, done by a browser.

import { chromium } from "playwright-core";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const base = process.env.ONPREM_URL.replace(/\/$/, "");
const user = process.env.ONPREM_USER;
const password = readFileSync(process.env.ONPREM_PASSWORD_FILE, "utf8").trim();
const device = process.env.ONPREM_DEVICE;
const deadline = 15_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
  ],
});

// A fresh session; what the browser complains about fails the test, unless it
// is what it always says of an answer with the status `refused`.
const visit = async (work, options = {}, refused = null) => {
  const always = `responded with a status of ${refused} `;
  const context = await browser.newContext(options);
  const complaints = [];
  const page = await context.newPage();
  page.setDefaultTimeout(deadline);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const text = message.text();
    const known = refused !== null && text.includes(always);
    if (message.type() === "error" && !known) complaints.push(text);
  });
  page.on("request", (request) => {
    const { origin } = new URL(request.url());
    if (origin !== new URL(base).origin) complaints.push(request.url());
  });
  try {
    await work(page);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
};

const signIn = async (page, path = "/") => {
  await page.goto(base + path);
  await page.getByLabel("Account").fill(user);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1 }).waitFor();
};

const path = (page) => {
  const url = new URL(page.url());
  return url.pathname + url.search;
};

// Chooses a restart that a device without an operating system can do too.
const reset = async (page) => {
  await page.getByRole("link", { name: "Reset", exact: true }).click();
  await page.waitForURL("**/actions/reset");
  await page.getByText("What it touches").waitFor();
  await page.getByLabel("Force restart").check();
  await page.getByRole("button", { name: "Reset" }).click();
  await page.waitForURL("**/tasks/*");
};

const tests = {
  async "a wrong password is told, and a link survives the login"() {
    const wanted = `/devices?q=${device}&sort=-name`;
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(base + wanted);
    assert.match(path(page), /^\/login\?next=/);
    await page.getByLabel("Account").fill(user);
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("alert").waitFor();
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("link", { name: device, exact: true }).waitFor();
    assert.equal(path(page), wanted);
    await context.close();
  },

  "a filter is in the address, and the address is the filter": () =>
    visit(async (page) => {
      await signIn(page);
      await page.getByRole("link", { name: "Devices", exact: true }).click();
      await page.waitForURL("**/devices");
      const rows = page.locator("tbody tr");
      await rows.first().waitFor();
      assert.ok((await rows.count()) > 1);
      await page.getByRole("searchbox").fill(device);
      await page.getByRole("button", { name: "Filter" }).click();
      await page.waitForURL(`**/devices?*q=${device}*`);
      await page.waitForFunction(
        () => document.querySelectorAll("tbody tr").length === 1,
      );
      const address = page.url();
      await page.goto(address);
      assert.equal(await rows.count(), 1);
      assert.equal(await page.getByRole("searchbox").inputValue(), device);
      await page.getByLabel("State").selectOption("offline");
      await page.getByText("Nothing matches").waitFor();
    }),

  "a reading changes while one looks, without a reload": () =>
    visit(async (page) => {
      await signIn(page, `/devices/${device}/sensors`);
      await page.evaluate(() => { window.sameDocument = true; });
      const readings = () =>
        page.locator("tbody td.number").allInnerTexts();
      const before = await readings();
      assert.ok(before.length > 0);
      await page.waitForFunction(
        (before) => {
          const cells = [...document.querySelectorAll("tbody td.number")];
          const now = cells.map((cell) => cell.innerText);
          return now.length > 0 && now.join() !== before;
        },
        before.join(),
      );
      await page.locator("svg.spark").first().waitFor();
      assert.equal(await page.evaluate(() => window.sameDocument), true);
    }),

  "a reset is confirmed, and its task ends while one looks": () =>
    visit(async (page) => {
      await signIn(page, `/devices/${device}`);
      await reset(page);
      await page.getByText("Progress").first().waitFor();
      await page.locator("#state .state.ok").waitFor({ timeout: 120_000 });
      const steps = await page.locator(".steps li").count();
      assert.equal(await page.locator(".steps li.ok").count(), steps);
    }),

  "what is typed on a serial console comes back": () =>
    visit(async (page) => {
      await signIn(page, `/devices/${device}`);
      await page.getByRole("link", { name: "Consoles", exact: true }).click();
      await page.locator('td a[href*="/consoles/"]').first().click();
      const screen = page.locator("#terminal");
      await page.getByText(/^(Connected|You type|Nobody types)\.$/).waitFor();
      await screen.focus();
      await page.keyboard.press("Enter");
      await page.keyboard.type("pi");
      await page.keyboard.press("Enter");
      await page.keyboard.press("Enter");
      await page.getByText("You type.").waitFor();
      await page.getByLabel("Line").fill("echo seen in a browser");
      await page.getByRole("button", { name: "Send" }).click();
      await page.waitForFunction(() =>
        /\nseen in a browser\n/.test(
          document.getElementById("terminal").textContent,
        ));
    }),

  "a form that is refused says why, and the page is whole": () =>
    visit(async (page) => {
      await signIn(page, "/accounts-new");
      const fill = async (name, password) => {
        await page.getByLabel("Name").fill(name);
        await page.getByLabel("Password").fill(password);
        await page.locator("[name=role]").first().check();
        await page.locator("main .button.primary").click();
      };
      await fill("not a name!", "long enough to be taken");
      const alert = page.getByRole("alert");
      await alert.waitFor();
      assert.match(await alert.innerText(), /name/);
      assert.equal(await page.getByLabel("Name").inputValue(), "not a name!");
      assert.equal(await page.locator("[style]").count(), 0);
      // With a name that is none the reset form does the same.
      await page.goto(`${base}/devices/${device}/actions/reset`);
      await page.getByLabel("Force restart").check();
      await page.evaluate(() => {
        const field = document.createElement("input");
        field.name = "nodes";
        field.value = "no, such";
        document.querySelector("form.form").append(field);
      });
      await page.getByRole("button", { name: "Reset" }).click();
      await page.getByRole("alert").waitFor();
      assert.equal(await page.locator("[style]").count(), 0);
    }, {}, 400),

  "the nodes of a device are a click away": () =>
    visit(async (page) => {
      await signIn(page, `/devices/${device}/nodes`);
      const row = page.locator("tbody tr").first();
      const node = await row.locator("td.first").innerText();
      await row.getByRole("link", { name: "Reset" }).click();
      await page.waitForURL(`**/nodes/${node}/actions/reset`);
      await page.getByRole("heading", { name: `Reset ${node}` }).waitFor();
      await page.getByRole("link", { name: "Cancel" }).click();
      await page.waitForURL(`**/nodes/${node}`);
      await page.getByRole("link", { name: node, exact: true }).last().click();
      await page.waitForURL(`**/consoles/${node}`);
      await page.locator("#terminal").waitFor();
    }),

  "to delete a device one types its name": () =>
    visit(async (page) => {
      await signIn(page, `/devices/${device}/delete`);
      const button = page.getByRole("button", { name: "Delete" });
      assert.equal(await button.isDisabled(), true);
      await page.getByLabel(/to confirm/).fill(device);
      assert.equal(await button.isDisabled(), false);
      await page.getByRole("link", { name: "Cancel" }).click();
      await page.waitForURL(`**/devices/${device}`);
    }),

  "a join token is shown once": () =>
    visit(async (page) => {
      await signIn(page, "/join-tokens-new");
      await page.locator("main .button.primary").click();
      await page.getByText("it is not shown again").waitFor();
      const secret = await page.locator(".secret").innerText();
      assert.match(secret, /^opj_/);
      await page.getByRole("link", { name: "Done" }).click();
      await page.waitForURL("**/join-tokens");
      await page.getByRole("link", { name: "Delete" }).first().waitFor();
      assert.ok(!(await page.content()).includes(secret));
    }),

  "the colours that were chosen stay": () =>
    visit(async (page) => {
      await signIn(page, "/devices");
      await page.getByRole("button", { name: "Dark" }).click();
      await page.waitForFunction(
        () => document.documentElement.dataset.theme === "dark",
      );
      assert.equal(path(page), "/devices");
      await page.goto(`${base}/tasks`);
      const theme = await page.evaluate(
        () => document.documentElement.dataset.theme,
      );
      assert.equal(theme, "dark");
    }, { colorScheme: "light" }),

  "no page is wider than a phone": () =>
    visit(async (page) => {
      await signIn(page);
      const pages = [
        "/", "/devices", `/devices/${device}`, `/devices/${device}/sensors`,
        `/devices/${device}/redfish`, `/devices/${device}/actions/reset`,
        `/devices/${device}/consoles/node`,
        "/tasks", "/events", "/audit-records", "/accounts-new", "/api",
      ];
      for (const one of pages) {
        await page.goto(base + one);
        const width = await page.evaluate(
          () => document.documentElement.scrollWidth,
        );
        assert.ok(width <= 390, `${one} is ${width} wide`);
      }
    }, { viewport: { width: 390, height: 844 } }),

  "everything works without scripts": () =>
    visit(async (page) => {
      await signIn(page, "/devices");
      await page.getByRole("searchbox").fill(device);
      await page.getByRole("button", { name: "Filter" }).click();
      await page.getByRole("link", { name: device, exact: true }).click();
      await page.getByRole("link", { name: "Sensors", exact: true }).click();
      assert.ok((await page.locator("tbody tr").count()) > 0);
      await page.getByRole("link", { name: "Edit", exact: true }).click();
      await page.getByLabel("Tags").fill("browser=plain");
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByText("plain").first().waitFor();
      await reset(page);
      const address = page.url();
      for (let left = 60; left > 0; left -= 1) {
        await page.goto(address);
        if (await page.locator("#state .state.ok").count()) break;
        await page.waitForTimeout(1000);
      }
      assert.equal(await page.locator("#state .state.ok").count(), 1);
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.waitForURL("**/login");
      await page.goto(`${base}/devices`);
      assert.match(path(page), /^\/login/);
    }, { javaScriptEnabled: false }),
};

let passed = 0;
let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    passed += 1;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack ?? error}`);
  }
}
await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
