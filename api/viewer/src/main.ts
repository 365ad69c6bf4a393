import "./app/app.css";
import "./view/view.css";
import { start } from "./app/start";

start(document.body, () => import("./view/mount"));
