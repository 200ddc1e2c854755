// The page's entry: reads the configuration the server wrote into the page.

import './styles.css';

const app = document.getElementById('app');
if (app) app.textContent = document.title;
