// Debian's Chromium with a page that keeps its own record: console errors, uncaught exceptions, requests elsewhere.
import {chromium} from "playwright-core";

export function launch() {
  return chromium.launch({executablePath: process.env.VRAMD_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]});
}

const live = '[data-testid="connection"][data-feed="live"][data-stale="false"]';

/// A page of its own context, with `record` {errors, elsewhere}; `token` makes it act as that owner. It is there when `there` is.
export async function open(browser, origin, {token = "", width = 1280, height = 800, theme = "light", path = "/", there = live, hash = "", motion = "reduce", touch = false} = {}) {
  const context = await browser.newContext({viewport: {width, height}, colorScheme: theme, reducedMotion: motion, hasTouch: touch});
  const page = await context.newPage();
  const record = {errors: [], elsewhere: []};
  // A refusal that a test provokes is a failed request too; the page must show it, and the browser notes it.
  page.on("console", (message) => message.type() === "error" && !message.text().startsWith("Failed to load resource") && record.errors.push(message.text()));
  page.on("pageerror", (error) => record.errors.push(String(error)));
  page.on("request", (request) => !request.url().startsWith(origin) && record.elsewhere.push(request.url()));
  if (token) await context.addInitScript((text) => sessionStorage.setItem("vramd.token", text), token);
  await page.goto(`${origin}${path}${hash}`);
  await page.waitForSelector(there, {state: "attached"});
  page.record = record;
  return page;
}

/// The same with the API's page, /docs.
export function openDocs(browser, origin, options = {}) {
  return open(browser, origin, {...options, path: "/docs", there: 'main[data-ready="true"]'});
}
