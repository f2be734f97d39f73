import {mount} from "svelte";
import Docs from "./Docs.svelte";
import "../app.css";
import {applyTheme} from "../store/theme.svelte";

applyTheme();
const target = document.getElementById("page");
if (target) mount(Docs, {target});
