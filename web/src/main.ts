import {mount} from "svelte";
import App from "./App.svelte";
import "./app.css";
import {applyTheme} from "./store/theme.svelte";

applyTheme();
const target = document.getElementById("page");
if (target) mount(App, {target});
