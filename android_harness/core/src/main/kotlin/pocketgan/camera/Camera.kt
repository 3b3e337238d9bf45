package pocketgan.camera

import java.io.Closeable
import pocketgan.measure.RefusedException

/** The device's camera and its screen, for those who measure from one to the other. */
fun interface Camera {
    /**
     * Open both; frames come from then on.
     *
     * @param width of the pictures that are wanted, which bears on the size that the camera is asked for.
     * @throws RefusedException there is no camera, it may not be used, somebody else has it, or the screen is off; one
     *   line that says what to do.
     */
    fun open(width: Int, height: Int): CameraSession
}

/** A camera that runs and a screen that shows. One thread asks both. */
interface CameraSession : Closeable {
    /** What the camera was asked for and how display times come to be, in one line for people. */
    val about: String

    /** How many frames were replaced by newer ones before anybody took them. */
    val dropped: Long

    /**
     * The newest frame that nobody took yet; waits for the next one where there is none, [timeoutNs] at most.
     *
     * @return null if none came.
     * @throws RefusedException camera or screen are gone; one line that says what to do.
     */
    fun next(timeoutNs: Long): CameraFrame?

    /**
     * Hand a picture over to the screen.
     *
     * @param number from 0, by one more each time. [displayTimes] tells of it by this number.
     * @param picture (height, width, 3) bytes of RGB, which are free for others when this returns.
     */
    fun show(number: Int, picture: ByteArray, width: Int, height: Int)

    /** When the first [count] pictures were on the screen; waits shortly for what the system has not told yet. */
    fun displayTimes(count: Int): List<DisplayTime?>
}

/** One frame of a camera, to be closed soon: a camera has few of them. */
interface CameraFrame : Closeable {
    /** When its exposure began, on the clock of the measurement. */
    val captureNs: Long

    /** Fill [picture] with its upright, centred cut-out: (height, width, 3) bytes of RGB, as wide as was asked for. */
    fun copyTo(picture: ByteArray)
}

/** When a picture was on the screen, on the clock of the measurement; [estimated] where the system does not tell. */
data class DisplayTime(val atNs: Long, val estimated: Boolean)
