import { href } from '../router'
import { Empty } from '../ui'

export function MissingPage() {
  return (
    <Empty title="There is nothing here">
      <p><a href={href('ask')}>Ask a question</a> or look through <a href={href('documents')}>the documents</a>.</p>
    </Empty>
  )
}
