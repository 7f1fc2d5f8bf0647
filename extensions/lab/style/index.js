import './base.css';
import './datalake.css';
import './datalake-forms.css';
