import './base.css';
import './datalake.css';
import './datalake-forms.css';
import './identity.css';
import './usage.css';
